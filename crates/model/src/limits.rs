//! A limit on everything, in one file, with units in the names. What passes a limit gets an error that names it.

/// A workflow file, in bytes.
pub const WORKFLOW_BYTES_MAX: usize = 4 << 20;
/// Nodes of one workflow.
pub const WORKFLOW_NODES_MAX: usize = 10_000;
/// Levels of nesting in a workflow file.
pub const WORKFLOW_DEPTH_MAX: usize = 64;
/// Values (scalars, lists, maps) in one workflow file.
pub const WORKFLOW_VALUES_MAX: usize = 500_000;
/// Values of one type with everything it refers to.
pub const SCHEMA_VALUES_MAX: usize = 20_000;
/// Types that refer to one another in a row.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Findings told of one file; there is nothing to learn from more.
pub const FINDINGS_MAX: usize = 200;
/// Edits of a workflow file in one request.
pub const EDITS_MAX: usize = 1_000;
/// Expressions in one request that looks at what they would give.
pub const EXPRESSIONS_ASKED_MAX: usize = 200;
/// Wires of a workflow that are tried against the rules while somebody draws one; further ones are tried when they are drawn.
pub const WIRES_TRIED_MAX: usize = 4_000;
/// Levels of sub-workflows within one another.
pub const SUBWORKFLOW_DEPTH_MAX: usize = 8;
/// Actions of one run that are looked at for readers of an artifact.
pub const LINEAGE_ACTIONS_MAX: usize = 5_000;
/// Users and groups together to whom one question is handed.
pub const DELEGATES_MAX: usize = 100;
/// The reason for handing a question on, or for a decision, in bytes.
pub const DELEGATE_REASON_BYTES_MAX: usize = 4_096;
/// People of whom it is recorded that they saw one question.
pub const QUESTION_VIEWERS_MAX: usize = 1_000;
/// Items of one `each`.
pub const EACH_ITEMS_MAX: usize = 10_000;
/// Outputs of items that a repeated run brings with it, in bytes; items beyond that run again.
pub const REUSED_ITEMS_BYTES_MAX: usize = 16 << 20;
/// Signals that one run keeps for waits that have not begun.
pub const RUN_SIGNALS_MAX: u32 = 10_000;
/// Actions of one run.
pub const RUN_ACTIONS_MAX: u32 = 1_000_000;
/// Labels on a run.
pub const RUN_LABELS_MAX: usize = 32;
/// Bytes of the key of a run's label, and of its value.
pub const RUN_LABEL_BYTES_MAX: usize = 255;
/// An expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4_096;
/// Levels of nesting in an expression; a chain such as `a + b + c` is nested too.
pub const EXPRESSION_DEPTH_MAX: usize = 128;
/// Brackets within one another in an expression.
pub const EXPRESSION_BRACKETS_MAX: usize = 32;
/// What an expression may cost, in steps, by the static checker's count.
pub const EXPRESSION_COST_MAX: u64 = 1_000_000;
/// Steps that evaluating the expressions of one node, or one condition, may take.
pub const EVALUATION_STEPS_MAX: u64 = 2_000_000;
/// Bytes of values that evaluating the expressions of one node may make; a value counts with 32 bytes and its text.
pub const EVALUATION_BYTES_MAX: u64 = 32 << 20;
/// A value passed between nodes (not an artifact), in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// A request body of the API that is not an artifact upload, in bytes.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Bytes of a page that is shown in a frame of the web app.
pub const FRAME_BYTES_MAX: u64 = 20 << 20;
/// A message of the Flyte protocol, unpacked, in bytes.
pub const FLYTE_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// An object that a Flyte task writes in one request, in bytes; larger ones come in parts.
pub const FLYTE_OBJECT_PUT_BYTES_MAX: usize = 256 << 20;
/// An object of a Flyte task that lies in the store of its site, where that names one: at least so many bytes.
pub const FLYTE_STORE_BYTES_MIN: u64 = 1 << 20;
/// A failure's message, in bytes.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 4_096;
/// Attempts that a node's `retry` may ask for.
pub const RETRY_ATTEMPTS_MAX: u32 = 100;
/// Attempts repeated because the platform failed, not the work.
pub const SYSTEM_RETRIES_MAX: u32 = 20;
/// The logs kept of one attempt, in bytes; older parts are dropped and the gap is marked.
pub const LOG_BYTES_MAX: u64 = 16 << 20;
/// Days that the logs of an attempt are kept at its site.
pub const ATTEMPT_LOGS_KEPT_DAYS: u32 = 30;
/// Processes and threads that an attempt may have at once.
pub const ATTEMPT_PROCESSES_MAX: u32 = 512;
/// A file that the process of an attempt writes, in bytes.
pub const ATTEMPT_FILE_BYTES_MAX: u64 = 64 << 30;
/// Files and folders that an attempt's output may name.
pub const ATTEMPT_ARTIFACTS_MAX: usize = 4_096;
/// Attempts with processes that run at once at a local site, whatever they ask for.
pub const SITE_PROCESSES_MAX: usize = 256;
/// Seconds that a ticket is good for: within them its attempt has to be handed to its site.
pub const TICKET_SECONDS_MAX: u64 = 60;
/// Tickets that a site remembers as used; more are not taken until some have expired.
pub const TICKETS_REMEMBERED_MAX: usize = 262_144;
/// Places in the network that are granted to one attempt.
pub const EGRESS_GRANTS_MAX: usize = 64;
/// Connections of one attempt that go out; further ones are refused, since each is written down.
pub const EGRESS_CONNECTIONS_MAX: usize = 50_000;
/// Files of one directory artifact.
pub const DIRECTORY_FILES_MAX: usize = 100_000;
/// A name: project, workflow part, node id, site, trigger.
pub const NAME_BYTES_MAX: usize = 63;
/// The value of a secret: shorter ones could not be told from other text in logs.
pub const SECRET_BYTES_MIN: usize = 8;
/// The value of a secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 32 << 10;
/// The name of whom a run is about, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Commands that wait for the engine before callers are told to come back later.
pub const INBOX_COMMANDS_MAX: usize = 65_536;
/// Commands decided in one batch.
pub const BATCH_COMMANDS_MAX: usize = 4_096;
/// Runs submitted in one request.
pub const BULK_RUNS_MAX: usize = 10_000;
/// Firings of one trigger caught up after an outage.
pub const CATCH_UP_FIRINGS_MAX: u32 = 100;
/// Runs of one trigger that wait for an earlier one to end, when it queues; firings beyond that are left out.
pub const QUEUED_FIRINGS_MAX: usize = 100;
/// One line of a worker's stream, in bytes.
pub const WORKER_LINE_BYTES_MAX: usize = 4 << 20;
/// Actions that a worker may hold at a time.
pub const WORKER_SLOTS_MAX: usize = 10_000;
/// Actions leased in one answer.
pub const WORKER_LEASES_MAX: usize = 256;
/// Connectors that one worker may serve.
pub const WORKER_CONNECTORS_MAX: usize = 256;
/// Connections to the server at a time; more wait until one ends.
pub const CONNECTIONS_MAX: usize = 1_000;
/// An idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Actions that are open at once and traced; runs beyond that are not.
pub const TRACED_ACTIONS_MAX: usize = 100_000;
/// A webhook's body, in bytes.
pub const WEBHOOK_BYTES_MAX: usize = 1 << 20;
/// Files of one apply.
pub const APPLY_FILES_MAX: usize = 1_000;
/// Hashes of leaves in one answer.
pub const AUDIT_LEAVES_MAX: u64 = 10_000;
/// Recorded actions that one question about the past plays again.
pub const WHATIF_ACTIONS_MAX: usize = 2_000_000;
/// Policy documents that count at a time.
pub const POLICIES_MAX: usize = 1_000;
/// The Cedar text of one policy document, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 << 10;
/// Brackets within one another in a policy.
pub const POLICY_DEPTH_MAX: usize = 32;
/// Characters of operators in one policy of a document.
pub const POLICY_OPERATORS_MAX: usize = 128;
/// `if`s in one policy of a document: what is known of a question before its site doubles the work with each that stands in another.
pub const POLICY_IFS_MAX: usize = 8;
/// Tags that are declared.
pub const TAGS_MAX: usize = 256;
/// Entrances of a tag.
pub const TAG_ENTRANCES_MAX: usize = 256;
/// Cases of one policy test.
pub const POLICY_CASES_MAX: usize = 10_000;
/// Runs that other rules are tried on, the latest first.
pub const SIMULATED_RUNS_MAX: usize = 10_000;
/// Entries of the journal that other rules are tried on.
pub const SIMULATED_ENTRIES_MAX: usize = 1_000_000;
