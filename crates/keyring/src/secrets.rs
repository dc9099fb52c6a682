//! Secrets: values that workflows name and never hold. They are sealed under the root key; only the last version of each is kept.

use std::fmt;

use model::limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use crate::keyring::{Keyring, about, now};
use crate::{KeyError, Result};

/// What a reference to a secret begins with.
pub const SCHEME: &str = "secret://";

/// The name in a reference to a secret; none when the text is something else.
pub fn referenced(text: &str) -> Option<&str> {
    let name = text.strip_prefix(SCHEME)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!name.is_empty() && name.len() <= model::limits::NAME_BYTES_MAX && name.chars().all(fits)).then_some(name)
}

/// What is known of a secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SecretInfo {
    /// The project whose workflows may name it.
    pub project: String,
    /// The domain whose runs are given it; none when those of every domain are.
    pub domain: Option<String>,
    /// Its name.
    pub name: String,
    /// How often it was set.
    pub version: u64,
    /// Tags that whoever is given it carries from then on.
    pub tags: Vec<String>,
    /// When it was set, in microseconds since 1970.
    pub set_at: u64,
    /// Who set it.
    pub set_by: String,
}

/// A secret that is released. It shows itself to nobody who prints it, and is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret {
    /// Its name.
    pub name: String,
    value: Zeroizing<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Secret {
    /// A secret with a value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Secret {
        Secret { name: name.into(), value: Zeroizing::new(value.into()) }
    }

    /// Its value, for whoever hands it on.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

/// Under what a secret lies within its project. Names hold no `/`, so that one of a domain is never taken for another of the project.
fn stored(domain: Option<&str>, name: &str) -> String {
    match domain {
        Some(domain) => format!("{domain}/{name}"),
        None => name.to_owned(),
    }
}

impl Keyring {
    /// Sets a secret of a project, or of one domain of it; gives its version.
    pub fn set_secret(
        &self,
        (project, domain): (&str, Option<&str>),
        name: &str,
        value: &str,
        tags: &[String],
        by: &str,
    ) -> Result<u64> {
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&value.len()) || value.contains('\0') {
            return Err(KeyError::Setting(format!(
                "the value of a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes and no zero byte: a shorter one could not be told in logs"
            )));
        }
        let name = &*stored(domain, name);
        let mut inner = self.lock();
        let (root, key) = inner.newest();
        let transaction = inner.db.transaction()?;
        let known = "SELECT version FROM secrets WHERE project = ?1 AND name = ?2";
        let known: Option<u64> = transaction.query_row(known, params![project, name], |row| row.get(0)).optional()?;
        let version = known.unwrap_or(0) + 1;
        let sealed = key.seal(&about::secret(project, name, version), value.as_bytes())?;
        transaction.execute(
            "INSERT OR REPLACE INTO secrets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![project, name, version, tags.join(" "), root, sealed, now(), by],
        )?;
        transaction.commit()?;
        inner.empty_log()?;
        Ok(version)
    }

    /// What secrets there are, of a project or of all.
    pub fn secrets(&self, project: Option<&str>) -> Result<Vec<SecretInfo>> {
        let inner = self.lock();
        let sql = "SELECT project, name, version, tags, set_at, set_by FROM secrets WHERE ?1 IS NULL OR project = ?1 ORDER BY project, name";
        let mut statement = inner.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![project], |row| {
            let stored: String = row.get(1)?;
            let (domain, name) = match stored.split_once('/') {
                Some((domain, name)) => (Some(domain.to_owned()), name.to_owned()),
                None => (None, stored),
            };
            Ok(SecretInfo {
                project: row.get(0)?,
                domain,
                name,
                version: row.get(2)?,
                tags: row.get::<_, String>(3)?.split_whitespace().map(str::to_owned).collect(),
                set_at: row.get(4)?,
                set_by: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Destroys a secret of a project, or of one domain of it. False when there is none.
    pub fn remove_secret(&self, (project, domain): (&str, Option<&str>), name: &str) -> Result<bool> {
        let name = &*stored(domain, name);
        let inner = self.lock();
        let gone = inner.db.execute("DELETE FROM secrets WHERE project = ?1 AND name = ?2", params![project, name])?;
        inner.empty_log()?;
        Ok(gone > 0)
    }

    /// A secret with its version, to be released to a run of a domain: that of the domain, else that of the whole project.
    pub fn secret_for(&self, project: &str, domain: &str, name: &str) -> Result<Option<(Secret, u64)>> {
        match self.secret((project, Some(domain)), name)? {
            Some(found) => Ok(Some(found)),
            None => self.secret((project, None), name),
        }
    }

    /// A secret of a project, or of one domain of it, with its version.
    pub fn secret(&self, (project, domain): (&str, Option<&str>), name: &str) -> Result<Option<(Secret, u64)>> {
        let (called, name) = (name, &*stored(domain, name));
        let inner = self.lock();
        let sql = "SELECT version, root, sealed FROM secrets WHERE project = ?1 AND name = ?2";
        let found: Option<(u64, i64, Vec<u8>)> = inner
            .db
            .prepare_cached(sql)?
            .query_row(params![project, name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((version, root, sealed)) = found else { return Ok(None) };
        let what = format!("the secret `{project}/{name}`");
        let value = inner.root(root)?.open(&about::secret(project, name, version), &sealed, &what)?;
        let value = std::str::from_utf8(&value).map_err(|_| KeyError::Tampered(what))?;
        Ok(Some((Secret::new(called, value), version)))
    }

    /// All secrets, for whoever takes them out of texts.
    pub fn all_secrets(&self) -> Result<Vec<Secret>> {
        let known = self.secrets(None)?;
        let open = known.iter().map(|secret| self.secret((&secret.project, secret.domain.as_deref()), &secret.name));
        Ok(open.collect::<Result<Vec<_>>>()?.into_iter().flatten().map(|(secret, _)| secret).collect())
    }
}
