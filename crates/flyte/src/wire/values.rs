//! Types and values, and errors as tasks write them.

#![expect(missing_docs, reason = "the names are those of the protocol, whose documents say what they mean")]

use prost::Message;

use super::{Bytes, Empty, Time};

#[derive(Clone, PartialEq, Message)]
pub struct Interface {
    #[prost(message, optional, tag = "1")]
    pub inputs: Option<Variables>,
    #[prost(message, optional, tag = "2")]
    pub outputs: Option<Variables>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Variables {
    #[prost(message, repeated, tag = "1")]
    pub variables: Vec<Variable>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Variable {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<VariableType>,
}

#[derive(Clone, PartialEq, Message)]
pub struct VariableType {
    #[prost(message, optional, tag = "1")]
    pub of: Option<Type>,
    #[prost(string, tag = "2")]
    pub description: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(int32, optional, tag = "1")]
    pub simple: Option<i32>,
    #[prost(message, optional, boxed, tag = "3")]
    pub items: Option<Box<Type>>,
    #[prost(message, optional, boxed, tag = "4")]
    pub values: Option<Box<Type>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub blob: Option<Bytes>,
    #[prost(message, optional, tag = "7")]
    pub choice: Option<Choice>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub table: Option<Bytes>,
    #[prost(message, optional, tag = "10")]
    pub union: Option<Variants>,
    // What is only handed on.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub metadata: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub annotation: Option<Bytes>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub structure: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Choice {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Variants {
    #[prost(message, repeated, tag = "1")]
    pub variants: Vec<Type>,
}

/// The inputs of a task, and its outputs.
#[derive(Clone, PartialEq, Message)]
pub struct Values {
    #[prost(message, repeated, tag = "1")]
    pub literals: Vec<NamedLiteral>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NamedLiteral {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Literal {
    #[prost(message, optional, tag = "1")]
    pub scalar: Option<Scalar>,
    #[prost(message, optional, tag = "2")]
    pub collection: Option<Collection>,
    #[prost(message, optional, tag = "3")]
    pub map: Option<LiteralMap>,
    // What is only handed on.
    #[prost(string, tag = "4")]
    pub hash: String,
    #[prost(message, optional, tag = "8")]
    pub elsewhere: Option<Elsewhere>,
}

/// Where a literal lies that is too large to be sent.
#[derive(Clone, PartialEq, Message)]
pub struct Elsewhere {
    #[prost(string, tag = "1")]
    pub uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Collection {
    #[prost(message, repeated, tag = "1")]
    pub literals: Vec<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LiteralMap {
    #[prost(message, repeated, tag = "1")]
    pub literals: Vec<LiteralEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub struct LiteralEntry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scalar {
    #[prost(message, optional, tag = "1")]
    pub primitive: Option<Primitive>,
    #[prost(message, optional, tag = "2")]
    pub blob: Option<Blob>,
    #[prost(message, optional, tag = "3")]
    pub binary: Option<Binary>,
    #[prost(message, optional, tag = "5")]
    pub none: Option<Empty>,
    #[prost(message, optional, tag = "8")]
    pub table: Option<Table>,
    #[prost(message, optional, boxed, tag = "9")]
    pub union: Option<Box<Union>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Primitive {
    #[prost(int64, optional, tag = "1")]
    pub integer: Option<i64>,
    #[prost(double, optional, tag = "2")]
    pub float_value: Option<f64>,
    #[prost(string, optional, tag = "3")]
    pub string_value: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub boolean: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub datetime: Option<Time>,
    #[prost(message, optional, tag = "6")]
    pub duration: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<BlobMeta>,
    #[prost(string, tag = "3")]
    pub uri: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct BlobMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub of: Bytes,
}

/// What the type of a file or a folder says.
#[derive(Clone, PartialEq, Message)]
pub struct BlobType {
    #[prost(string, tag = "1")]
    pub format: String,
    #[prost(int32, tag = "2")]
    pub dimensionality: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Table {
    #[prost(string, tag = "1")]
    pub uri: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<TableMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TableMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub of: Bytes,
}

/// What is said of the type of a table beside its columns.
#[derive(Clone, PartialEq, Message)]
pub struct TableFormat {
    #[prost(string, tag = "2")]
    pub format: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Binary {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Bytes,
    #[prost(string, tag = "2")]
    pub tag: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Union {
    #[prost(message, optional, tag = "1")]
    pub value: Option<Literal>,
    #[prost(message, optional, tag = "2")]
    pub of: Option<Type>,
}

/// An input that has a value when nobody gives one.
#[derive(Clone, PartialEq, Message)]
pub struct NamedParameter {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    #[prost(message, optional, tag = "2")]
    pub default: Option<Literal>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ErrorDocument {
    #[prost(message, optional, tag = "1")]
    pub error: Option<ContainerError>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ContainerError {
    #[prost(string, tag = "1")]
    pub code: String,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int32, tag = "3")]
    pub kind: i32,
    #[prost(int32, tag = "4")]
    pub origin: i32,
}
