//! What an attempt did over the network.

/// A connection that an attempt made, or wanted to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Connection {
    /// When it was asked for, in microseconds since 1970.
    pub at: u64,
    /// The host that was asked for.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address it was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How it ended: `closed`, `refused`, `failed`, `cut`, or `ended` with the attempt.
    pub outcome: String,
    /// Why, where that is not clear.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Bytes that went out.
    pub sent: u64,
    /// Bytes that came in.
    pub received: u64,
    /// How many more like it there were, of which nothing else was written down.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: u64,
}

fn is_none(more: &u64) -> bool {
    *more == 0
}
