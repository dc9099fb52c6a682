//! Queues: the names by which programs choose sites. A queue is a document; what it says of sites becomes part of what a task needs.

use model::{Node, QueueSpec};

use crate::{ControlPlane, Fault, FaultKind};

/// The kind of resource that a queue is.
const KIND: &str = "queue";

impl ControlPlane {
    /// Sends a task to a queue: it runs where the queue says. Without a name it runs where anything may. Blocks.
    pub fn send_to_queue(&self, node: &mut Node, queue: &str) -> Result<(), Fault> {
        if queue.is_empty() {
            return Ok(());
        }
        let row = self.reader().resources(KIND, Some(queue), None).map_err(Fault::internal)?.pop();
        let Some(row) = row else { return Err(self.unknown_queue(queue)?) };
        let spec: QueueSpec = serde_json::from_value(row.body).map_err(Fault::internal)?;
        node.needs.site.extend(spec.site);
        Ok(())
    }

    fn unknown_queue(&self, queue: &str) -> Result<Fault, Fault> {
        let known = self.reader().resources(KIND, None, None).map_err(Fault::internal)?;
        let known: Vec<String> = known.into_iter().map(|row| format!("`{}`", row.name)).collect();
        let there_are = match known.is_empty() {
            true => "none is declared".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        let message = format!("there is no queue `{queue}`: {there_are}. Declare it with a document of `kind: queue`");
        Ok(Fault::new(FaultKind::Malformed, message))
    }
}
