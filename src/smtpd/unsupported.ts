/** Settings with which the service does not start. */
import type { Config } from '../conf/params.ts';

type SettingConfig = Pick<
  Config,
  'smtpd_tls_req_ccert' | 'smtpd_sasl_auth_enable' | 'smtpd_sasl_type'
>;

/** Settings that would let in whom they should keep out, if they were only ignored. */
export function unsupportedSetting(config: SettingConfig): string | undefined {
  if (config.smtpd_tls_req_ccert) {
    return 'smtpd_tls_req_ccert = yes: client certificates are not checked here; set it to no';
  }
  if (config.smtpd_sasl_auth_enable && config.smtpd_sasl_type !== 'postern') {
    return `smtpd_sasl_type = ${config.smtpd_sasl_type}: only postern is there; set it, and name the users' tables in smtpd_sasl_backends`;
  }
  return undefined;
}
