//! Figures for Prometheus, in its text format. Names are `tutti_<noun>_<what>_<unit>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use controlplane::{Fault, Histogram};

use super::App;
use super::problem::{ApiResult, blocking};

/// The text in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn by_phase(&mut self, name: &str, kind: &str, help: &str, counts: &BTreeMap<&'static str, u64>) {
        self.head(name, kind, help);
        counts.iter().for_each(|(phase, count)| self.line(name, &[("phase", phase)], count));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let (buckets, count, sum) = histogram.read();
        let bounds = buckets.into_iter().map(|(bound, count)| (bound.to_string(), count)).chain([("+Inf".to_owned(), count)]);
        for (bound, count) in bounds {
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line(&format!("{name}_bucket"), &labels, count);
        }
        self.line(&format!("{name}_sum"), labels, sum);
        self.line(&format!("{name}_count"), labels, count);
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics", tag = "system",
    responses((status = 200, description = "Metrics as text.", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>) -> ApiResult<impl IntoResponse> {
    let reader = app.control.reader().clone();
    let read = blocking(move || {
        let stats = reader.stats().map_err(Fault::internal)?;
        let actions = reader.open_actions().map_err(Fault::internal)?;
        let sites = reader.sites().map_err(Fault::internal)?;
        Ok((stats, actions, reader.running_by_site().map_err(Fault::internal)?, sites))
    });
    let (stats, actions, running, sites) = read.await?;
    let mut text = Text::default();
    text.head("tutti_build_info", "gauge", "The version.");
    text.line("tutti_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.one("tutti_journal_entries_total", "counter", "Entries of the journal.", stats.entries);
    text.one("tutti_journal_file_bytes", "gauge", "Bytes of the journal's file.", stats.file_bytes);
    text.one("tutti_runs_total", "counter", "Runs accepted.", stats.runs);
    text.one("tutti_runs_open", "gauge", "Runs that have not ended.", stats.open_runs);
    let open: BTreeMap<&'static str, u64> = actions.iter().map(|(phase, count)| (phase.as_str(), *count)).collect();
    text.by_phase("tutti_actions_open", "gauge", "Actions that have not ended, by phase.", &open);

    let meters = app.control.notices().meters();
    let ended = meters.ended();
    text.by_phase("tutti_runs_ended_total", "counter", "Runs that ended since this process began.", &ended.runs);
    text.by_phase("tutti_actions_ended_total", "counter", "Actions that ended since this process began.", &ended.actions);
    text.by_phase("tutti_attempts_ended_total", "counter", "Attempts that ended since this process began.", &ended.attempts);
    text.head("tutti_commit_duration_seconds", "histogram", "From the decision of a batch to its durability.");
    text.histogram("tutti_commit_duration_seconds", &[], &meters.commit_seconds);
    text.head("tutti_commit_batch_entries", "histogram", "Entries of a batch.");
    text.histogram("tutti_commit_batch_entries", &[], &meters.batch_entries);
    let swept = meters.sweeps();
    text.one("tutti_artifacts_set_aside_total", "counter", "Artifacts set aside as referred to by nothing.", swept.set_aside);
    text.one("tutti_artifacts_removed_total", "counter", "Artifacts removed after they had lain aside.", swept.removed);
    text.one("tutti_artifacts_removed_bytes_total", "counter", "Bytes of those.", swept.bytes);
    text.one("tutti_inbox_commands", "gauge", "Commands that wait for the run loop.", app.control.inbox().depth());
    let (waiting, leased) = app.control.workers().depth();
    text.one("tutti_worker_actions_waiting", "gauge", "Actions that wait for a worker.", waiting);
    text.one("tutti_worker_actions_leased", "gauge", "Actions that workers hold.", leased);

    text.head("tutti_site_actions_running", "gauge", "Actions at work, by site.");
    for site in &sites {
        let name = site.spec.name.as_str();
        text.line("tutti_site_actions_running", &[("site", name)], running.get(name).copied().unwrap_or_default());
    }
    text.head("tutti_site_open", "gauge", "Whether a site takes new work.");
    for site in &sites {
        let open = site.healthy && !site.cordoned && !site.drained;
        text.line("tutti_site_open", &[("site", &site.spec.name)], u8::from(open));
    }
    let connections = app.connections.saturating_sub(app.room.available_permits());
    text.one("tutti_http_connections", "gauge", "Open connections.", connections);
    text.head("tutti_http_requests_total", "counter", "Requests answered.");
    app.http.counts(|method, route, status, count| {
        let status = status.to_string();
        text.line("tutti_http_requests_total", &[("method", method), ("route", route), ("status", &status)], count);
    });
    text.head("tutti_http_request_duration_seconds", "histogram", "Until the answer began.");
    app.http.seconds(|route, histogram| text.histogram("tutti_http_request_duration_seconds", &[("route", route)], histogram));
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.line("m", &[("site", "a\"b\\c\nd")], 1);
        assert_eq!(text.0, "m{site=\"a\\\"b\\\\c\\nd\"} 1\n");
    }
}
