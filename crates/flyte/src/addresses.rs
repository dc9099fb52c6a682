//! The addresses among the values of a task: what it may go and read.

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::Value;

use crate::msgpack;
use crate::wire::{Literal, Values};

/// Addresses among values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Of files, folders and tables, and of values that lie elsewhere.
    pub data: BTreeSet<String>,
    /// Texts that are addresses.
    pub named: BTreeSet<String>,
}

/// The addresses among inputs or outputs. What cannot be read names none: nor can the task read it.
pub fn addresses(values: &[u8]) -> Addresses {
    let mut found = Addresses::default();
    for named in Values::decode(values).unwrap_or_default().literals {
        found.of_literal(&named.value.unwrap_or_default());
    }
    found
}

impl Addresses {
    fn of_literal(&mut self, literal: &Literal) {
        let lists = literal.collection.iter().flat_map(|collection| &collection.literals);
        lists.for_each(|literal| self.of_literal(literal));
        let maps = literal.map.iter().flat_map(|map| &map.literals);
        maps.filter_map(|entry| entry.value.as_ref()).for_each(|literal| self.of_literal(literal));
        self.data.extend(literal.elsewhere.iter().map(|elsewhere| elsewhere.uri.clone()));
        let Some(scalar) = &literal.scalar else { return };
        self.data.extend(scalar.blob.iter().map(|blob| blob.uri.clone()));
        self.data.extend(scalar.table.iter().map(|table| table.uri.clone()));
        if let Some(value) = scalar.union.as_ref().and_then(|union| union.value.as_ref()) {
            self.of_literal(value);
        }
        if let Some(text) = scalar.primitive.as_ref().and_then(|primitive| primitive.string_value.as_ref()) {
            self.of_text(text);
        }
        // Files within dataclasses are objects with an address in it.
        if let Some(value) = scalar.binary.as_ref().and_then(|binary| msgpack::unpack(&binary.value)) {
            self.of_value(&value);
        }
    }

    fn of_text(&mut self, text: &str) {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| !scheme.is_empty());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if scheme.is_some_and(|scheme| scheme.chars().all(is_plain)) {
            self.named.insert(text.to_owned());
        }
    }

    fn of_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.of_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.of_value(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.of_value(field)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Binary, Blob, Collection, NamedLiteral, Primitive, Scalar, Table};

    fn scalar(scalar: Scalar) -> Literal {
        Literal { scalar: Some(scalar), ..Literal::default() }
    }

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        let file = scalar(Scalar { blob: Some(Blob { uri: "s3://h/a".into(), metadata: None }), ..Scalar::default() });
        let table = scalar(Scalar { table: Some(Table { uri: "gs://h/t".into(), metadata: None }), ..Scalar::default() });
        let text = |text: &str| {
            let primitive = Primitive { string_value: Some(text.into()), ..Primitive::default() };
            scalar(Scalar { primitive: Some(primitive), ..Scalar::default() })
        };
        let mut packed = Vec::new();
        msgpack::pack(&serde_json::json!({"scan": {"path": "s3://h/packed"}, "n": 3}), &mut packed);
        let binary = scalar(Scalar { binary: Some(Binary { value: packed, tag: "msgpack".into() }), ..Scalar::default() });
        let list = Collection { literals: vec![file, table, text("https://x/y"), text("no://"), text("say: a://"), binary] };
        let value = Some(Literal { collection: Some(list), ..Literal::default() });
        let bytes = Values { literals: vec![NamedLiteral { name: "all".into(), value }] }.encode_to_vec();
        let found = addresses(&bytes);
        assert_eq!(found.data.into_iter().collect::<Vec<_>>(), ["gs://h/t", "s3://h/a"]);
        assert_eq!(found.named.into_iter().collect::<Vec<_>>(), ["https://x/y", "no://", "s3://h/packed"]);
        assert_eq!(addresses(b"\xff"), Addresses::default());
    }
}
