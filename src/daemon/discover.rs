//! Finds the work areas that somebody's iTwins are connected to, so that nobody need know a datasource's address.

use futures_util::{StreamExt, stream};

use crate::remote::platform::{Connection, ITwin, Platform, PlatformError};

/// What was found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The iTwins that have connections, in the platform's order.
    pub connected: Vec<(ITwin, Vec<Connection>)>,
    /// How many iTwins were asked for and told, connected or not.
    pub told: usize,
    /// How many iTwins there are.
    pub itwins: usize,
    /// False where the platform does not name all of somebody's iTwins: it stops at 10 000.
    pub complete: bool,
    /// The iTwins that do not let this account see their connections, each with the reason.
    pub refused: Vec<(ITwin, PlatformError)>,
    /// Why the search ended before all were asked.
    pub stopped: Option<PlatformError>,
}

/// Hides the latency of some hundred requests, and leaves an app with 500 a minute (projectwise-api 2.1) its rate.
const AT_ONCE: usize = 4;

/// When so many refuse and none told, it is the app or the account that may not ask, not these iTwins: with thousands of
/// them the answer should not take minutes.
const ENOUGH_REFUSALS: usize = 10;

/// Asks every iTwin that fits `search` for its connections; `tell` hears how many of how many were asked.
///
/// An error is one of the list of iTwins. What goes wrong later is in the [`Discovery`], beside what was found.
pub async fn work_areas(
    platform: &Platform,
    search: Option<&str>,
    tell: impl Fn(usize, usize),
) -> Result<Discovery, PlatformError> {
    let itwins = platform.my_itwins(search).await?;
    let mut discovery = Discovery {
        itwins: itwins.found.len(),
        complete: itwins.complete,
        ..Discovery::default()
    };
    let mut answers = stream::iter(itwins.found)
        .map(|itwin| async move {
            let answer = platform.connections(&itwin).await;
            (itwin, answer)
        })
        .buffered(AT_ONCE);
    while let Some((itwin, answer)) = answers.next().await {
        match answer {
            Ok(connections) => {
                discovery.told += 1;
                if !connections.is_empty() {
                    discovery.connected.push((itwin, connections));
                }
            }
            Err(error) if error.is_about_one_itwin() => {
                discovery.refused.push((itwin, error));
                if discovery.told == 0 && discovery.refused.len() >= ENOUGH_REFUSALS {
                    break;
                }
            }
            Err(error) => {
                discovery.stopped = Some(error);
                break;
            }
        }
        tell(discovery.told + discovery.refused.len(), discovery.itwins);
    }
    Ok(discovery)
}
