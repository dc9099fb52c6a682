//! What if, of one run: what is left of it, or the whole of one that has ended, as things are and as asked.

use api::rest::foresight_views::{MovedView, RunWhatIfRequest, RunWhatIfView, SideView};

use crate::cli::Door;
use crate::failure::{CommandError, Exit};
use crate::in_process::Need;
use crate::names::{self, Kind, run_path};
use crate::output::{self, Format, Row, money, seconds};
use crate::session;

/// A duration as workflows write it (`30m`), in seconds.
pub(crate) fn within(text: &str) -> Result<f64, CommandError> {
    let parsed: Result<model::Duration, _> = text.parse();
    let parsed = parsed.map_err(|_| CommandError::usage(format!("`{text}` is no duration: `30m`, `2h`")))?;
    Ok(parsed.0 as f64 / 1e6)
}

/// Asks and prints.
pub(crate) async fn suppose(door: &Door, run: &str, request: RunWhatIfRequest, format: Format) -> Result<Exit, CommandError> {
    let path = format!("{}/whatif", run_path(run));
    let view: RunWhatIfView = session::with(door, Need::Look, async |session| match session.client.post(&path, &request).await {
        Ok(view) => Ok(view),
        Err(error) => Err(names::suggest(&session.client, Kind::Run, run, error).await),
    })
    .await?;
    if !matches!(format, Format::Table | Format::Name) {
        output::value(&view, format)?;
        return Ok(Exit::Done);
    }
    if format == Format::Table {
        output::write(&format!("as things are: {}\nas asked:      {}\n", told(&view.before), told(&view.after)))?;
    }
    output::list(&view.moved, format, "every node would stay where it is")?;
    if format == Format::Table {
        eprintln!("What such a comparison cannot know:");
        view.limits.iter().for_each(|limit| eprintln!("- {limit}"));
    }
    Ok(Exit::Done)
}

/// What a side comes to, in a line.
fn told(side: &SideView) -> String {
    let Some(come) = &side.to_come else {
        let nowhere: Vec<&str> = side.nowhere.keys().map(String::as_str).collect();
        return match nowhere.is_empty() {
            true => "nothing is left that needs a place".to_owned(),
            false => format!("no place for {}", nowhere.join(", ")),
        };
    };
    let [[cost_low, cost, cost_high], [ends_low, ends, ends_high]] = [come.cost, come.ends_in_s];
    let late = come.p_late.map(|late| format!(", late in {:.0} of 100 futures", late * 100.0)).unwrap_or_default();
    let over = side.budget.as_ref().filter(|budget| budget.over > 0.0);
    let over = over.map(|budget| format!(", {} more than may be spent", money(budget.over))).unwrap_or_default();
    format!(
        "{} to come (between {} and {}), ends in {} (between {} and {}){late}{over}",
        money(cost),
        money(cost_low),
        money(cost_high),
        seconds(ends),
        seconds(ends_low),
        seconds(ends_high)
    )
}

impl Row for MovedView {
    const COLUMNS: &'static [&'static str] = &["NODE", "FROM", "TO", "WHY"];

    fn cells(&self) -> Vec<String> {
        let site = |site: &Option<String>| site.clone().unwrap_or_else(|| "nowhere".into());
        vec![self.path.clone(), site(&self.from), site(&self.to), self.why.clone()]
    }

    fn name(&self) -> String {
        self.path.clone()
    }
}
