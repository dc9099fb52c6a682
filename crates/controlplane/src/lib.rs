//! L3: the shell that joins the pure core to stores, sites and time.
//!
//! [`ControlPlane::open`] takes a data directory, folds the journal into the state, begins a new epoch, opens the sites, and carries out
//! what is outstanding. Everything that changes anything goes as a command through [`Inbox`]; everything that reads goes through the
//! journal's reader.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod admission;
mod advice;
mod applying;
mod audit;
mod catalogue;
mod clock;
mod core_loop;
mod costs;
mod dispatcher;
mod editing;
mod erasing;
mod evaluator;
mod fault;
mod findings;
mod flyte;
mod foresight;
mod governing;
mod handing;
mod inputs;
mod instants;
mod keep;
mod keys;
mod learning;
mod lineage;
mod load;
mod meters;
mod notices;
mod owner;
mod placer;
mod planning;
mod pools;
mod projects;
mod queues;
mod reaching;
mod rederiving;
mod repeating;
mod retention;
mod runs;
mod sanitizing;
mod secrets;
mod sites;
mod start;
mod sweeping;
mod testing;
mod tickets;
pub mod trace;
mod triggers;
mod waiting;
mod warm;
mod whatif;
mod wiring;
mod workers;

pub use advice::Advice;
pub use applying::{Applied, ApplyOutcome, Expected, SourceFile};
pub use audit::{AUDIT_EXCEPTION, Answering, Ask, AuditLog, Proven, Reply, Sealed, WitnessState};
pub use clock::{random_bytes, wall};
pub use core_loop::{Answer, Inbox, Refusal};
pub use costs::{Demand, RunOutlook};
pub use editing::{Beside, Sheet};
pub use erasing::Erased;
pub use fault::{Fault, FaultKind};
pub use findings::{Finding, FindingFilter, Proposed};
pub use flyte::{
    ARTIFACT_EVENT as FLYTE_ARTIFACT_EVENT, AppState, ArtifactVersion, Asked as AskedTask, AskedWorkflow, DeployedApp, Flyte,
    Program, ROOT as FLYTE_ROOT, RegisteredWorkflow, SAID as FLYTE_SAID, TAKES_FILES as FLYTE_TAKES_FILES, TASKS as FLYTE_TASKS,
    base_of as flyte_base, cache_of_root as flyte_cache_of_root, inputs_of_trigger, run_key as flyte_run_key,
    run_labels as flyte_run_labels,
};
pub use foresight::Outlook;
pub use governing::{
    ApprovalRequest, Approved, CaseOutcome, Certification, Certifications, Change as RuleChange, Changed as Redecided,
    Registered, RunLabels, Simulated, Vouched, What as WhatChanged, is_of_rules,
};
pub use inputs::check_value;
pub use keep::{BackupSummary, KeysKept, restore};
pub use keyring::SecretInfo;
pub use keys::{KeyStatus, Sealing};
pub use lineage::{Lineage, Origin as ArtifactOrigin, Versions as ArtifactVersions};
pub use load::{Load, SiteLoad};
pub use meters::{Ended, Histogram, Meters, SECONDS};
pub use notices::Notices;
pub use owner::{Owner, holder};
pub use placer::view as site_view;
pub use planning::{PlannedNode, WorkflowPlan, WorkflowSource};
pub use projects::ProjectStand;
pub use queues::{Queued, Queues};
pub use rederiving::{Graphs, Rederive, Rederived};
pub use repeating::RerunPlan;
pub use retention::Overdue;
pub use runs::{Awaited, Rerun, Submission, Submitted};
pub use sites::Sites;
pub use start::{ControlPlane, Options};
pub use testing::StepTest;
pub use triggers::{next_firing, verify_signature};
pub use waiting::{Waited, WaitsFor};
pub use whatif::{Barred, Budgeted, Compared, Side, SiteChange, Sum, Suppose, Supposed, WhatIf};
pub use wiring::{Forbidden, Remedy, WIRED, Wiring};
pub use workers::{Holding, LEASE, Lease, LeaseRequest, Turn as WorkerTurn, WorkerReport, Workers};
