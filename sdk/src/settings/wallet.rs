//! The wallet through which the agent is paid: `WALLET` and the variables of each provider.

use std::sync::Arc;

use openagents_host::net::{Reach, Url, public_url};

use super::error::SettingError;
use super::names::{LIGHTNING_ADDRESS, LNBITS_INVOICE_KEY, LNBITS_URL, NWC_URL, WALLET};
use super::variables::{VariableReader, form};
use crate::declared_variables::Secret;
use crate::payment::LnbitsWallet;
#[cfg(feature = "wallet-lnurl")]
use crate::payment::LnurlWallet;
use crate::payment::wallet::Wallet;
#[cfg(feature = "wallet-nwc")]
use crate::payment::{NwcUri, NwcWallet};

/// Which wallet the agent has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WalletSettings {
    /// Jobs with a price are refused.
    #[default]
    None,
    /// A wallet on an LNbits server.
    Lnbits { server: Url, invoice_key: Secret },
    /// The wallet behind a Lightning address.
    #[cfg(feature = "wallet-lnurl")]
    Lnurl(LnurlWallet),
    /// A wallet by Nostr Wallet Connect.
    #[cfg(feature = "wallet-nwc")]
    Nwc(NwcUri),
}

/// A provider of wallets, the variables that only it reads, and how `WALLET` names it.
struct Provider {
    name: &'static str,
    setting: &'static str,
    variables: &'static [&'static str],
}

const LNBITS: Provider =
    Provider { name: "lnbits", setting: "WALLET=lnbits", variables: &[LNBITS_URL, LNBITS_INVOICE_KEY] };
const LNURL: Provider = Provider { name: "lnurl", setting: "WALLET=lnurl", variables: &[LIGHTNING_ADDRESS] };
const NWC: Provider = Provider { name: "nwc", setting: "WALLET=nwc", variables: &[NWC_URL] };

impl WalletSettings {
    pub(super) fn read(variables: &VariableReader<'_>) -> Result<Self, SettingError> {
        let named = variables.text(WALLET);
        for other in [LNBITS, LNURL, NWC].iter().filter(|provider| named.as_deref() != Some(provider.name)) {
            if let Some(name) = other.variables.iter().copied().find(|name| variables.text(name).is_some()) {
                return Err(SettingError::Unused { name, without: other.setting });
            }
        }
        match named.as_deref() {
            None => Ok(Self::None),
            Some("lnbits") => Ok(Self::Lnbits {
                server: server(variables)?,
                invoice_key: Secret::new(required(variables, LNBITS_INVOICE_KEY, &LNBITS)?),
            }),
            Some("lnurl") => Self::lnurl(variables),
            Some("nwc") => Self::nwc(variables),
            Some(_) => Err(form(WALLET, "lnbits, lnurl or nwc")),
        }
    }

    #[cfg(feature = "wallet-lnurl")]
    fn lnurl(variables: &VariableReader<'_>) -> Result<Self, SettingError> {
        let wallet = LnurlWallet::new(&required(variables, LIGHTNING_ADDRESS, &LNURL)?);
        Ok(Self::Lnurl(wallet.map_err(|error| form(LIGHTNING_ADDRESS, &error.to_string()))?))
    }

    #[cfg(not(feature = "wallet-lnurl"))]
    const fn lnurl(_: &VariableReader<'_>) -> Result<Self, SettingError> {
        Err(SettingError::NotBuiltIn { provider: LNURL.name, feature: "wallet-lnurl" })
    }

    #[cfg(feature = "wallet-nwc")]
    fn nwc(variables: &VariableReader<'_>) -> Result<Self, SettingError> {
        let uri = required(variables, NWC_URL, &NWC)?.parse::<NwcUri>();
        Ok(Self::Nwc(uri.map_err(|error| SettingError::NwcUri { name: NWC_URL, error })?))
    }

    #[cfg(not(feature = "wallet-nwc"))]
    const fn nwc(_: &VariableReader<'_>) -> Result<Self, SettingError> {
        Err(SettingError::NotBuiltIn { provider: NWC.name, feature: "wallet-nwc" })
    }

    /// Whether the wallet can do what this job needs, whose payments are to be held.
    pub(super) fn check(&self, held: Option<&'static str>) -> Result<(), SettingError> {
        match (held, self.wallet()) {
            (Some(job), Some(wallet)) if !wallet.features().hold_invoices => {
                Err(SettingError::NoHolds { job, provider: wallet.features().provider })
            }
            _ => Ok(()),
        }
    }

    /// The wallet.
    pub(crate) fn wallet(&self) -> Option<Arc<dyn Wallet>> {
        match self {
            Self::None => None,
            Self::Lnbits { server, invoice_key } => {
                Some(Arc::new(LnbitsWallet::new(server.clone(), invoice_key.expose())))
            }
            #[cfg(feature = "wallet-lnurl")]
            Self::Lnurl(wallet) => Some(Arc::new(wallet.clone())),
            #[cfg(feature = "wallet-nwc")]
            Self::Nwc(uri) => Some(Arc::new(NwcWallet::new(uri.clone()))),
        }
    }
}

/// The URL of the LNbits server. The operator names it, so it may be private.
fn server(variables: &VariableReader<'_>) -> Result<Url, SettingError> {
    let text = required(variables, LNBITS_URL, &LNBITS)?;
    public_url(&text, &["https", "http"], Reach::Anywhere)
        .map_err(|error| SettingError::Server { name: LNBITS_URL, error })
}

fn required(
    variables: &VariableReader<'_>,
    name: &'static str,
    by: &Provider,
) -> Result<String, SettingError> {
    variables.text(name).ok_or(SettingError::Needed { name, by: by.setting })
}

#[cfg(test)]
mod tests {
    use super::WalletSettings;
    use crate::settings::variables::VariableReader;

    fn read(set: &[(&str, &str)]) -> Result<WalletSettings, String> {
        let value =
            |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        WalletSettings::read(&VariableReader(&value)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_agent_has_the_wallet_that_is_named() {
        assert_eq!(read(&[]), Ok(WalletSettings::None));
        assert_eq!(read(&[("WALLET", " ")]), Ok(WalletSettings::None));
        let lnbits = [
            ("WALLET", "lnbits"),
            ("LNBITS_URL", "http://127.0.0.1:5000/sub/"),
            ("LNBITS_INVOICE_KEY", "hunter2"),
        ];
        let settings = read(&lnbits).unwrap();
        let shown = format!("{settings:?} {:?}", settings.wallet().map(|wallet| wallet.features()));
        assert!(
            shown.contains("127.0.0.1") && shown.contains("lnbits") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[cfg(not(feature = "wallet-lnurl"))]
    #[test]
    fn a_wallet_that_is_not_built_in_is_told_with_its_feature() {
        let error = read(&[("WALLET", "lnurl"), ("LIGHTNING_ADDRESS", "me@a.example")]).unwrap_err();
        assert!(error.contains("wallet-lnurl"), "{error}");
    }

    #[cfg(feature = "wallet-lnurl")]
    #[test]
    fn a_lightning_address_is_a_wallet() {
        let settings = read(&[("WALLET", "lnurl"), ("LIGHTNING_ADDRESS", "me@a.example")]).unwrap();
        assert_eq!(settings.wallet().unwrap().features().provider, "lnurl");
        let error = read(&[("WALLET", "lnurl"), ("LIGHTNING_ADDRESS", "a.example")]).unwrap_err();
        assert!(error.contains("LIGHTNING_ADDRESS must be"), "{error}");
    }

    #[test]
    fn a_job_whose_payment_is_held_needs_a_wallet_that_holds() {
        assert_eq!(WalletSettings::None.check(Some("write")), Ok(()), "it is refused without a wallet");
        let lnbits = [("WALLET", "lnbits"), ("LNBITS_URL", "https://a.example"), ("LNBITS_INVOICE_KEY", "k")];
        let lnbits = read(&lnbits).unwrap();
        assert_eq!(lnbits.check(None), Ok(()));
        let error = lnbits.check(Some("write")).unwrap_err().to_string();
        assert!(error.contains("WALLET=lnbits has no hold invoices") && error.contains("`write`"), "{error}");
    }

    #[cfg(feature = "wallet-nwc")]
    #[test]
    fn a_connection_uri_names_a_wallet_that_holds() {
        let (wallet, secret) = ("ab".repeat(32), "11".repeat(32));
        let uri = format!("nostr+walletconnect://{wallet}?relay=ws%3A%2F%2F127.0.0.1%3A7000&secret={secret}");
        let settings = read(&[("WALLET", "nwc"), ("NWC_URL", uri.as_str())]).unwrap();
        assert_eq!(settings.check(Some("write")), Ok(()));
        assert_eq!(settings.wallet().unwrap().features().provider, "nwc");
        assert!(!format!("{settings:?}").contains(&secret));
        for (set, told) in [
            (&[("WALLET", "nwc")][..], "WALLET=nwc needs the variable NWC_URL"),
            (
                &[("WALLET", "nwc"), ("NWC_URL", secret.as_str())],
                "the variable NWC_URL is not a connection URI",
            ),
            (
                &[("WALLET", "nwc"), ("NWC_URL", uri.as_str()), ("LNBITS_URL", "https://a.example")],
                "LNBITS_URL is set, but has no effect without WALLET=lnbits",
            ),
            (&[("NWC_URL", uri.as_str())], "NWC_URL is set, but has no effect without WALLET=nwc"),
        ] {
            let error = read(set).unwrap_err();
            assert!(error.contains(told) && !error.contains(&secret), "{error}");
        }
    }

    #[cfg(not(feature = "wallet-nwc"))]
    #[test]
    fn a_build_without_a_wallet_names_the_feature_that_it_lacks() {
        let error = read(&[("WALLET", "nwc"), ("NWC_URL", "nostr+walletconnect://")]).unwrap_err();
        assert!(error.contains("WALLET=nwc is not built into") && error.contains("`wallet-nwc`"), "{error}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_without_its_value() {
        for (set, told) in [
            (&[("WALLET", "coinos")][..], "the variable WALLET must be lnbits, lnurl or nwc"),
            (
                &[("LIGHTNING_ADDRESS", "me@a.example")],
                "LIGHTNING_ADDRESS is set, but has no effect without WALLET=lnurl",
            ),
            (&[("WALLET", "lnbits")], "WALLET=lnbits needs the variable LNBITS_URL"),
            (
                &[("WALLET", "lnbits"), ("LNBITS_URL", "https://a.example")],
                "needs the variable LNBITS_INVOICE_KEY",
            ),
            (
                &[("LNBITS_INVOICE_KEY", "hunter2")],
                "LNBITS_INVOICE_KEY is set, but has no effect without WALLET=lnbits",
            ),
            (
                &[
                    ("WALLET", "lnbits"),
                    ("LNBITS_URL", "https://me:hunter2@a.example"),
                    ("LNBITS_INVOICE_KEY", "k"),
                ],
                "the variable LNBITS_URL must be the URL of a server",
            ),
            (
                &[("WALLET", "lnbits"), ("LNBITS_URL", "a.example"), ("LNBITS_INVOICE_KEY", "k")],
                "LNBITS_URL must be",
            ),
        ] {
            let error = read(set).unwrap_err();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
    }
}
