//! Whom a command speaks for, where the server takes callers at their word.

use crate::client::Client;

/// `--as` and `--groups`.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Speaker {
    /// Speak as this person: only on loopback and without tokens, where the server takes callers at their word.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Groups of that person, with commas between.
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    groups: Vec<String>,
}

impl Speaker {
    /// A client that speaks for them.
    pub(crate) fn client(&self, client: &Client) -> Client {
        client.speaking_for(self.user.as_deref(), &self.groups)
    }
}
