//! Bytes that nobody meant as anything: whatever reads them says so, and nothing worse.

use proptest::prelude::*;

use crate::wire;
use crate::{Message, ending, sign, task};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..400);
    // Fields with lengths, which lead deeper than noise does.
    let field = (1_u8..24, prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(number, content)| {
        let mut field = vec![number << 3 | 2, u8::try_from(content.len()).unwrap_or(0)];
        if number > 15 {
            field = vec![(number << 3 | 2) | 0x80, number >> 4, u8::try_from(content.len()).unwrap_or(0)];
        }
        field.extend(content);
        field
    });
    prop_oneof![noise, prop::collection::vec(field, 0..8).prop_map(|fields| fields.concat())]
}

proptest! {
    #[test]
    fn messages(bytes in bytes()) {
        let _ = ending::failure_of(&bytes);
        if let Ok(spec) = task::read(&bytes) {
            let _ = task::node("a0", &spec);
        }
        let _ = wire::EnqueueRequest::decode(bytes.as_slice());
        let _ = wire::CreateRunRequest::decode(bytes.as_slice());
        let _ = wire::SignalEvent::decode(bytes.as_slice());
        if let Ok(message) = wire::RunSpec::decode(bytes.as_slice()) {
            prop_assert_eq!(wire::RunSpec::decode(message.encode_to_vec().as_slice()), Ok(message));
        }
    }

    #[test]
    fn requests(path in "\\PC{0,40}", query in "(X-Amz-[A-Za-z]{1,12}=[%0-9A-Za-z/]{0,20}&){0,7}\\PC{0,20}", header in "\\PC{0,60}", now: u32) {
        let mut request = sign::Request { method: "GET".into(), path, query, ..sign::Request::default() };
        prop_assert!(sign::check(&request, "s", u64::from(now)).is_err());
        let signed = format!("AWS4-HMAC-SHA256 Credential={header}, SignedHeaders=host, Signature=00");
        for header in [header, signed] {
            request.headers.insert("authorization".into(), header);
            request.headers.insert("x-amz-date".into(), request.path.clone());
            prop_assert!(sign::check(&request, "s", u64::from(now)).is_err());
        }
    }
}
