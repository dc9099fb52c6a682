//! Structured values as the SDK packs them (MessagePack), for as much of it as JSON can say.

use serde_json::{Map, Number, Value};

/// Levels of a value at most.
const DEPTH_MAX: usize = 64;

/// Packs a value.
pub fn pack(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => {
                out.push(0xd3);
                out.extend_from_slice(&n.to_be_bytes());
            }
            (None, Some(n)) => {
                out.push(0xcf);
                out.extend_from_slice(&n.to_be_bytes());
            }
            (None, None) => {
                out.push(0xcb);
                out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        Value::String(text) => {
            size(0xdb, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            size(0xdd, items.len(), out);
            items.iter().for_each(|item| pack(item, out));
        }
        Value::Object(fields) => {
            size(0xdf, fields.len(), out);
            for (key, value) in fields {
                pack(&Value::String(key.clone()), out);
                pack(value, out);
            }
        }
    }
}

fn size(kind: u8, size: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
}

/// Unpacks a value; none when it is broken, or is something that JSON cannot say.
pub fn unpack(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value = next(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

fn take<'b>(rest: &mut &'b [u8], size: usize) -> Option<&'b [u8]> {
    let (taken, left) = rest.split_at_checked(size)?;
    *rest = left;
    Some(taken)
}

/// A number of so many bytes, the first the largest.
fn number(rest: &mut &[u8], size: usize) -> Option<u64> {
    Some(take(rest, size)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn text(rest: &mut &[u8], size: u64) -> Option<String> {
    String::from_utf8(take(rest, usize::try_from(size).ok()?)?.to_vec()).ok()
}

fn list(rest: &mut &[u8], size: u64, depth: usize) -> Option<Value> {
    // What is not there is found missing before room is made for it.
    (0..size).map(|_| next(rest, depth + 1)).collect::<Option<Vec<Value>>>().map(Value::Array)
}

fn map(rest: &mut &[u8], size: u64, depth: usize) -> Option<Value> {
    let mut fields = Map::new();
    for _ in 0..size {
        let key = match next(rest, depth + 1)? {
            Value::String(key) => key,
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        fields.insert(key, next(rest, depth + 1)?);
    }
    Some(Value::Object(fields))
}

fn next(rest: &mut &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let kind = number(rest, 1)?;
    let float = |value: f64| Some(Number::from_f64(value).map_or(Value::Null, Value::Number));
    match kind {
        0x00..=0x7f => Some(kind.into()),
        0x80..=0x8f => map(rest, kind & 0x0f, depth),
        0x90..=0x9f => list(rest, kind & 0x0f, depth),
        0xa0..=0xbf => text(rest, kind & 0x1f).map(Value::String),
        0xc0 => Some(Value::Null),
        0xc2 | 0xc3 => Some((kind == 0xc3).into()),
        0xca => float(f64::from(f32::from_bits(u32::try_from(number(rest, 4)?).ok()?))),
        0xcb => float(f64::from_bits(number(rest, 8)?)),
        0xcc..=0xcf => number(rest, 1 << (kind - 0xcc)).map(Value::from),
        0xd0..=0xd3 => {
            let bytes = 1_u32 << (kind - 0xd0);
            let shift = 64 - 8 * bytes;
            // The sign is that of the first byte.
            Some(((number(rest, bytes as usize)? << shift).cast_signed() >> shift).into())
        }
        0xd9..=0xdb => {
            let size = number(rest, 1 << (kind - 0xd9))?;
            text(rest, size).map(Value::String)
        }
        0xdc | 0xdd => {
            let size = number(rest, if kind == 0xdc { 2 } else { 4 })?;
            list(rest, size, depth)
        }
        0xde | 0xdf => {
            let size = number(rest, if kind == 0xde { 2 } else { 4 })?;
            map(rest, size, depth)
        }
        0xe0..=0xff => Some((i64::try_from(kind).ok()? - 256).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_others_pack_is_read() {
        let packed = b"\x83\xa1x\x01\xa1y\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1l\x93\xff\xd1\xff\x00\xcd\x01\x00";
        assert_eq!(unpack(packed), Some(json!({"x": 1, "y": 1.5, "l": [-1, -256, 256]})));
        for broken in [&b""[..], b"\xdd\xff\xff\xff\xff", b"\xdb\x00\x00\x00\x09x", b"\xc1", b"\x01\x01", b"\x81\xc0\x01"] {
            assert_eq!(unpack(broken), None, "{broken:?}");
        }
        assert_eq!(unpack(&[0x91; 1_000]), None, "too deep");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e300..1e300_f64).prop_map(Value::from),
            "\\PC{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,8}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_comes_back(value in value()) {
            let mut packed = Vec::new();
            pack(&value, &mut packed);
            prop_assert_eq!(unpack(&packed), Some(value));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
        }
    }
}
