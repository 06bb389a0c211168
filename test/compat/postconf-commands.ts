/** Command lines for test/compat/postconf.test.ts, and two files to edit. */
export const LINES: readonly (readonly string[])[] = [
  ['-de'],
  ['-dn'],
  ['-Mn'],
  ['-F', '-X', 'smtp/inet/chroot'],
  ['-ax'],
  ['-hH'],
  ['-e'],
  ['-X'],
  ['-C', 'foo'],
  ['-C', 'user,all', '-n'],
  ['-o', 'foo', 'myhostname'],
  ['-o', 'myorigin=x.example', 'myorigin'],
  ['-M', 'a*/b'],
  ['-M', 'smtp'],
  ['-M', '*/unix'],
  ['-F', 'smtp/inet/command'],
  ['-F', 'a/b/c'],
  ['-Fh', '*/*/chroot'],
  ['-FH', 'smtp'],
  ['-P', 'smtp/inet/my_flag'],
  ['-P', 'smtp/inet'],
  ['-Ph', '*/*/smtpd_banner'],
  ['-PH'],
  ['-e', 'x'],
  ['-e', '=x'],
  ['-X', 'a=b'],
  ['-#', 'a=b'],
  ['-Me', 'smtp=x'],
  ['-Fe', 'smtp/inet/chroot=a b'],
  ['-Pe', 'smtp/inet/x=a b'],
  ['-Pe', 'smtp/inet/*=a'],
  ['-p', 'queue_run_delay', '-h'],
  ['--', '-n'],
];

export const MAIN = `# head
myorigin = a
# before the relay
relayhost = [x.example]
  :25
# within
  more

mydestination = $myhostname
relayhost = again
smtpd_banner=x
`;
export const MASTER = `# head
smtp inet n - n - - smtpd
# within
  -o smtpd_banner=x -o { mynetworks = 10.0.0.0/8, 127.0.0.0/8 }

smtp unix - - n - - smtp -v
list unix - n n - - pipe
  flags=R user=list argv=/bin/x -o {a b}
`;
export const EDITS: readonly (readonly string[])[] = [
  ['-e', 'myorigin = b', 'new_one=  $x  '],
  ['relayhost=[y.example]'],
  ['-e', 'relayhost = a', 'relayhost = b'],
  ['-X', 'relayhost', 'nothing'],
  ['-#', 'relayhost', 'myorigin'],
  ['-e', 'a = b\nc'],
  ['-e', '# = b'],
  ['-e', 'smtpd_banner = \u00e9 $mail_name'],
  ['-M', 'smtp/inet=smtp inet n - y - 5 smtpd -o { a = b c } -v'],
  ['-Me', 'new/unix=new unix - - n - - smtp'],
  ['-Me', 'new/unix=new unix - -'],
  ['-Me', 'new/unix=new bad - - n - - smtp'],
  ['-MX', 'smtp/inet'],
  ['-MX', 'none/inet'],
  ['-M#', 'smtp/inet', 'list/*'],
  ['-F', 'smtp/inet/chroot=y', '*/unix/process_limit=3'],
  ['-F', 'smtp/inet/command=smtpd -v -o{ smtpd_banner = a b } a {x y}'],
  ['-F', 'smtp/inet/chroot=maybe'],
  ['-F', 'none/inet/chroot=y'],
  ['-P', 'smtp/inet/smtpd_banner=y', 'smtp/inet/new_one=1'],
  ['-P', 'list/unix/new_one=1'],
  ['-PX', 'smtp/inet/smtpd_banner', 'smtp/inet/nothing'],
];
