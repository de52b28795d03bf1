//! Step 2 of the guide (the administrator), and the first half of step 3: find the datasource and reach it.

use crate::cli::failure::CliError;
use crate::cli::picker;
use crate::daemon::connect::{ConnectionError, Opened};
use crate::daemon::discover::work_areas;
use crate::model::{Datasource, FolderId};
use crate::remote::link::DatasourceLink;
use crate::remote::platform::{Connection, ITwin};
use crate::remote::{Remote, RemoteError};

use super::application::Again;
use super::person::Question;
use super::progress::Marked;
use super::{Halt, Wizard, words};

impl Wizard<'_> {
    /// Tells what to send to the administrator.
    pub(super) async fn administrator(&mut self) -> Result<(), Halt> {
        self.title("Step 2 of 3: grant ProjectWise access");
        let text = words::for_the_administrator(&self.session.profile.client_id);
        self.person.say(&text);
        let options = [
            "Go on: it is allowed, or I want to see",
            "Leave, and go on when the administrator has answered",
        ];
        let options = options.map(str::to_owned).to_vec();
        match self
            .person
            .choose("When it is allowed, go on.", "", options, 0)
            .await?
        {
            0 => Ok(()),
            _ => Err(Halt::Left),
        }
    }

    /// Asks until a datasource is reached, and keeps it in the profile.
    pub(super) async fn datasource(&mut self) -> Result<(), Halt> {
        self.title("Step 3 of 3: connect to the datasource");
        let mut text = self.which_datasource().await?;
        loop {
            let error = match self.session.account_now()?.open(Some(&text)).await {
                Ok(opened) => return self.keep_datasource(opened).await,
                Err(
                    ConnectionError::SeveralDatasources { choices, .. }
                    | ConnectionError::NoSuchDatasource { choices, .. },
                ) if !choices.is_empty() => {
                    text = self.one_of(choices).await?;
                    continue;
                }
                Err(error) => CliError::from(error),
            };
            self.tell(&error);
            if self.after_a_failure().await? == Again::Changed {
                text = self.which_datasource().await?;
            }
        }
    }

    async fn keep_datasource(&mut self, opened: Opened) -> Result<(), Halt> {
        let Opened { remote, start, .. } = opened;
        self.session.profile.datasource = Some(remote.address().to_string());
        // What was marked in another datasource is not in this one; a link to a folder marks that.
        self.progress.marked.clear();
        if let Some(folder) = start {
            self.progress.marked.push(marked(&*remote, folder).await?);
        }
        self.session.keep()?;
        self.person.say(&format!("\nConnected to {}.\n", remote.name()));
        self.remote = Some(remote);
        Ok(())
    }

    async fn which_datasource(&mut self) -> Result<String, Halt> {
        if let Some(given) = &self.args.login.datasource {
            return Ok(given.clone());
        }
        // Where the sign-in needed the server, it was asked for already.
        if let (false, Some(known)) = (
            self.session.profile.auth.has_app(),
            &self.session.profile.datasource,
        ) {
            return Ok(known.clone());
        }
        let options = [
            "Find it through my iTwins",
            "Paste a datasource URL or a link to a folder",
        ];
        let options = options.map(str::to_owned).to_vec();
        match self.person.choose("Which datasource?", "", options, 0).await? {
            0 => self.through_itwins().await,
            _ => self.pasted().await,
        }
    }

    /// A datasource URL, in any form.
    pub(super) async fn pasted(&mut self) -> Result<String, Halt> {
        let before = self.session.profile.datasource.clone();
        let question = Question::new(
            "Datasource URL",
            "any form: https://…/ws, a longer address, pw://server:datasource/…, a copied link",
        );
        let question = question.or(before.as_deref()).checked(|answer| {
            DatasourceLink::parse(answer)
                .map(|_| ())
                .map_err(|error| error.to_string())
        });
        Ok(self.person.text(question).await?)
    }

    /// The URL of a connection the person's iTwins have; a pasted one where there is none.
    async fn through_itwins(&mut self) -> Result<String, Halt> {
        let platform = self.session.account_now()?.platform()?;
        self.person
            .say("Asking the iTwin Platform for your iTwins and their work areas …");
        let found = match work_areas(&platform, None, |_, _| {}).await {
            Ok(found) => found,
            Err(error) => {
                self.tell(&ConnectionError::from(error).into());
                self.person
                    .say("The datasource URL can be pasted instead; your administrator knows it.\n");
                return self.pasted().await;
            }
        };
        let connections: Vec<(&ITwin, &Connection)> = found
            .connected
            .iter()
            .flat_map(|(itwin, connections)| connections.iter().map(move |connection| (itwin, connection)))
            .filter(|(_, connection)| connection.address.is_some())
            .collect();
        if connections.is_empty() {
            self.person.say(&format!(
                "None of your {} iTwins tells of a ProjectWise work area. Paste the datasource URL instead; your \
                 administrator knows it.\n",
                found.itwins
            ));
            return self.pasted().await;
        }
        let mut options: Vec<String> = connections
            .iter()
            .map(|(itwin, connection)| row(itwin, connection))
            .collect();
        options.push("None of these: paste a datasource URL".to_owned());
        let chosen = self
            .person
            .choose("Which work area?", "type to search", options, 0)
            .await?;
        match connections
            .get(chosen)
            .and_then(|(_, connection)| connection.address.as_ref())
        {
            Some(address) => Ok(address.to_string()),
            None => self.pasted().await,
        }
    }

    async fn one_of(&mut self, choices: Vec<(Datasource, String)>) -> Result<String, Halt> {
        let options = choices
            .iter()
            .map(|(datasource, _)| format!("{}  ({})", datasource.label, datasource.location))
            .collect();
        let chosen = self
            .person
            .choose(
                "The server has several datasources. Which one?",
                "type to search",
                options,
                0,
            )
            .await?;
        Ok(choices[chosen].1.clone())
    }
}

/// One connection in a list.
fn row(itwin: &ITwin, connection: &Connection) -> String {
    let number = if itwin.number.is_empty() || itwin.number == itwin.name {
        String::new()
    } else {
        format!(" ({})", itwin.number)
    };
    let primary = if connection.primary { "  (primary)" } else { "" };
    format!("{}{number}  →  {}{primary}", itwin.name, connection.name)
}

/// A folder as it is marked.
async fn marked(remote: &dyn Remote, folder: FolderId) -> Result<Marked, RemoteError> {
    Ok(Marked {
        guid: folder.to_string(),
        path: picker::path_to(remote, folder).await?,
        alias: None,
    })
}
