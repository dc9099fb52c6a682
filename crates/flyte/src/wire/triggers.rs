//! Messages of triggers: what starts a task by itself. Those that come with the deployment of a task have numbers of their own.

use prost::Message;

use super::{Bytes, ListRequest, Offloaded, OnArtifact, ProjectId, TaskId, Time};

#[derive(Clone, PartialEq, Message)]
pub struct TaskTrigger {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<TaskTriggerSpec>,
    #[prost(bytes = "vec", tag = "3")]
    pub automation_spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskTriggerSpec {
    #[prost(bool, tag = "1")]
    pub active: bool,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub inputs: Option<Bytes>,
    #[prost(bytes = "vec", tag = "3")]
    pub run_spec: Bytes,
    #[prost(string, tag = "4")]
    pub description: String,
    #[prost(message, optional, tag = "5")]
    pub offloaded_input_data: Option<Offloaded>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    pub inputs: Option<Bytes>,
    #[prost(bytes = "vec", tag = "3")]
    pub run_spec: Bytes,
    #[prost(bool, tag = "4")]
    pub active: bool,
    #[prost(string, tag = "5")]
    pub task_version: String,
    #[prost(string, tag = "6")]
    pub description: String,
    #[prost(message, optional, tag = "7")]
    pub offloaded_input_data: Option<Offloaded>,
}

/// What starts it: the kind of it (2 is a schedule, 3 an artifact), and the schedule.
#[derive(Clone, PartialEq, Message)]
pub struct Automation {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub schedule: Option<Schedule>,
    #[prost(message, optional, tag = "3")]
    pub artifact: Option<OnArtifact>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Schedule {
    #[prost(message, optional, tag = "1")]
    pub rate: Option<FixedRate>,
    #[prost(string, tag = "2")]
    pub cron_expression: String,
    #[prost(message, optional, tag = "4")]
    pub cron: Option<Cron>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FixedRate {
    #[prost(uint32, tag = "1")]
    pub value: u32,
    /// 1 for minutes, 2 for hours, 3 for days.
    #[prost(int32, tag = "2")]
    pub unit: i32,
    #[prost(message, optional, tag = "3")]
    pub start_time: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Cron {
    #[prost(string, tag = "1")]
    pub expression: String,
    #[prost(string, tag = "2")]
    pub timezone: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerName {
    #[prost(string, tag = "1")]
    pub org: String,
    #[prost(string, tag = "2")]
    pub project: String,
    #[prost(string, tag = "3")]
    pub domain: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub task_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerId {
    #[prost(message, optional, tag = "1")]
    pub name: Option<TriggerName>,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerStatus {
    #[prost(message, optional, tag = "1")]
    pub deployed_at: Option<Time>,
    #[prost(message, optional, tag = "2")]
    pub updated_at: Option<Time>,
    #[prost(message, optional, tag = "3")]
    pub triggered_at: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerDetails {
    #[prost(message, optional, tag = "1")]
    pub id: Option<TriggerId>,
    #[prost(message, optional, tag = "3")]
    pub spec: Option<TriggerSpec>,
    #[prost(message, optional, tag = "4")]
    pub status: Option<TriggerStatus>,
    #[prost(bytes = "vec", tag = "5")]
    pub automation_spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct Trigger {
    #[prost(message, optional, tag = "1")]
    pub id: Option<TriggerId>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<TriggerStatus>,
    #[prost(bool, tag = "5")]
    pub active: bool,
    #[prost(bytes = "vec", tag = "6")]
    pub automation_spec: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct DeployTriggerRequest {
    #[prost(message, optional, tag = "2")]
    pub spec: Option<TriggerSpec>,
    #[prost(bytes = "vec", tag = "3")]
    pub automation_spec: Bytes,
    #[prost(message, optional, tag = "4")]
    pub name: Option<TriggerName>,
}

#[derive(Clone, PartialEq, Message)]
pub struct OfTrigger {
    #[prost(message, optional, tag = "1")]
    pub name: Option<TriggerName>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TriggerResponse {
    #[prost(message, optional, tag = "1")]
    pub trigger: Option<TriggerDetails>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListTriggersRequest {
    #[prost(message, optional, tag = "1")]
    pub request: Option<ListRequest>,
    #[prost(message, optional, tag = "3")]
    pub project_id: Option<ProjectId>,
    #[prost(message, optional, tag = "4")]
    pub task_id: Option<TaskId>,
    #[prost(message, optional, tag = "5")]
    pub task_name: Option<TaskId>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListTriggersResponse {
    #[prost(message, repeated, tag = "1")]
    pub triggers: Vec<Trigger>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ChangeTriggersRequest {
    #[prost(message, repeated, tag = "1")]
    pub names: Vec<TriggerName>,
    #[prost(bool, tag = "2")]
    pub active: bool,
}
