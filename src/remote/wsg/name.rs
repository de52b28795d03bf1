//! What a datasource is called, in catalogs and in front of people.

use std::fmt;

use super::address::tilde_encode;

/// A datasource and the gateway that serves it. Its text form is `Remote::name`, and is read back as the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasourceName {
    /// `server:datasource`; where an id does not hold that, the whole id.
    pub location: String,
    /// Scheme, host, port and path of the gateway, without a `/` at the end.
    pub gateway: String,
}

/// Stands between both. A gateway's address has no blanks.
const BETWEEN: &str = " at ";

impl DatasourceName {
    /// Reads the text form; `None` where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (location, gateway) = text.rsplit_once(BETWEEN)?;
        let is_whole = !location.is_empty() && gateway.contains("://");
        is_whole.then(|| Self {
            location: location.to_owned(),
            gateway: gateway.to_owned(),
        })
    }

    /// An address of it. The plug-in in it is the usual one: a gateway that has another one for it lists which.
    pub fn url(&self) -> String {
        let location = tilde_encode(&self.location);
        format!("{}/Repositories/Bentley.PW--{location}", self.gateway)
    }
}

impl fmt::Display for DatasourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{BETWEEN}{}", self.location, self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::super::WsgAddress;
    use super::*;

    #[test]
    fn a_name_is_read_back_and_leads_to_its_datasource() {
        for location in [
            "pw.example.com:ds",
            "pw.example.com:Works at night",
            "[::1]:a~b%2Fc/ü",
        ] {
            let name = DatasourceName {
                location: location.to_owned(),
                gateway: "https://pw.example.com:8443/ws".to_owned(),
            };
            assert_eq!(DatasourceName::parse(&name.to_string()), Some(name.clone()));
            let address = WsgAddress::parse(&name.url()).unwrap();
            assert_eq!(address.location().as_deref(), Some(location), "{}", name.url());
            assert_eq!(address.server(), name.gateway);
        }
        for text in ["", "pw:ds", " at https://x/ws", "pw:ds at noon"] {
            assert_eq!(DatasourceName::parse(text), None, "{text}");
        }
    }
}
