/** What main.cf says about the log, for a program of this server. */
import type { Config } from '../conf/params.ts';
import type { LogOptions } from '../log/maillog.ts';

export const logOptions = (config: Config, program: string): LogOptions => ({
  file: config.maillog_file,
  syslogName: config.syslog_name,
  program,
  host: config.myhostname,
  facility: config.syslog_facility,
  permissions: config.maillog_file_permissions,
});
