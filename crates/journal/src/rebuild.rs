//! Making the read models anew from the journal: after a change of their tables, and to see that they say what the journal says.

use keyring::Keyring;
use model::{RunId, Seq, Timestamp};
use rusqlite::{Connection, Transaction, params};

use crate::projection::Projection;
use crate::reader::event_of;
use crate::{Entry, JournalError, Options, Reader, schema};

/// The tables that are made from the journal, with the columns in which one made anew may differ: whether bodies that are to go are gone
/// is known to no entry.
const READ_MODELS: &[(&str, &str)] = &[
    ("runs", "pruned"),
    ("actions", ""),
    ("children", ""),
    ("skipped", ""),
    ("attempts", ""),
    ("explanations", ""),
    ("resources", ""),
    ("sites", ""),
    ("firings", ""),
    ("recalls", ""),
    ("artifact_labels", ""),
    ("people", ""),
    ("artifact_origins", ""),
    ("run_labels", ""),
];
/// Entries folded at a time.
const STEP: u64 = 2_000;

/// Makes the read models of a journal that nobody has open anew. Bodies that were pruned stay destroyed.
pub fn rebuild(options: &Options) -> Result<(), JournalError> {
    let mut connection = schema::open_to_write(&options.path.join(schema::FILE), options.durability)?;
    let transaction = connection.transaction()?;
    for (table, _) in READ_MODELS {
        transaction.execute(&format!("DELETE FROM main.{table}"), [])?;
    }
    fold(&transaction, options.keys.as_ref())?;
    transaction.commit()?;
    Ok(())
}

/// Where the read models say something else than ones made anew would, as table and row. An empty list says that they are right.
pub fn differences(reader: &Reader) -> Result<Vec<String>, JournalError> {
    // Temporary tables of the same names hide those of the file, so that the same code fills them.
    let connection = Connection::open(reader.file())?;
    connection.busy_timeout(schema::BUSY_WAIT)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let transaction = connection.unchecked_transaction()?;
    for (table, _) in READ_MODELS {
        copy_empty(&transaction, table)?;
    }
    fold(&transaction, reader.keys())?;
    let mut differences = Vec::new();
    for (table, unknown) in READ_MODELS {
        let columns = columns(&transaction, table, unknown)?;
        for (side, one, other) in [("too much", "main", "temp"), ("missing", "temp", "main")] {
            let sql = format!("SELECT {columns} FROM {one}.{table} EXCEPT SELECT {columns} FROM {other}.{table}");
            let mut statement = transaction.prepare(&sql)?;
            let width = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let values = (0..width).map(|index| row.get_ref(index).map(|value| format!("{value:?}")));
                let values: Vec<String> = values.collect::<rusqlite::Result<_>>()?;
                differences.push(format!("{table}, {side}: {}", values.join(" ")));
            }
        }
    }
    Ok(differences)
}

/// Hides a table of the file behind an empty one like it, for this connection.
pub(crate) fn copy_empty(connection: &Connection, table: &str) -> Result<(), JournalError> {
    let sql = "SELECT sql FROM main.sqlite_schema WHERE name = ?1";
    let sql: String = connection.query_row(sql, params![table], |row| row.get(0))?;
    connection.execute_batch(&sql.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1))?;
    Ok(())
}

fn columns(transaction: &Transaction<'_>, table: &str, unknown: &str) -> Result<String, JournalError> {
    let mut statement = transaction.prepare("SELECT name FROM pragma_table_info(?1) WHERE name != ?2")?;
    let names = statement.query_map(params![table, unknown], |row| row.get::<_, String>(0))?;
    Ok(names.collect::<rusqlite::Result<Vec<_>>>()?.join(", "))
}

/// Folds the journal into read models that are empty.
fn fold(transaction: &Transaction<'_>, keys: Option<&Keyring>) -> Result<(), JournalError> {
    let mut after = 0;
    loop {
        let mut statement =
            transaction.prepare_cached("SELECT seq, run, at, bytes FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = statement.query(params![after, STEP])?;
        let (mut projection, mut found) = (Projection::default(), false);
        while let Some(row) = rows.next()? {
            let (seq, run, at) = (row.get(0)?, RunId(row.get(1)?), Timestamp(row.get(2)?));
            let event = event_of(transaction, keys, seq, row.get_ref(3)?.as_blob().unwrap_or_default())?;
            projection.note(seq, &Entry { run, at, event });
            (after, found) = (Seq(seq).0, true);
        }
        if !found {
            return Ok(());
        }
        projection.write(transaction)?;
    }
}
