//! Files that clients of the Flyte SDK and programs upload by links.

use bytes::Bytes;
use controlplane::FLYTE_ROOT;
use flyte::Message;
use flyte::wire::{CreateUploadLocationRequest, CreateUploadLocationResponse};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, StatusCode};
use model::Label;

use super::flyte_attempts::{RULES, ask, at_work, program, reach_of};
use super::support::{Answer, Up};

/// Digests of `good` and `evil`.
const GOOD: &str = "755f85c2723bb39381c7379a604160d8";
const EVIL: &str = "4034a346ccee15292d823416f7510a2f";

/// Where somebody may upload a file to: the link, and the address.
async fn location(up: &Up, token: &str, root: &str, md5: &str) -> (String, String) {
    let [project, domain, filename] = ["mine", "development", "f"].map(str::to_owned);
    let content_md5 = flyte::call::from_hex(md5).unwrap();
    let request =
        CreateUploadLocationRequest { project, domain, filename, filename_root: root.into(), content_md5, ..Default::default() };
    let mut headers = vec![("content-type", "application/proto"), ("authorization", token)];
    headers.retain(|(_, value)| !value.is_empty());
    let path = "/flyteidl2.dataproxy.DataProxyService/CreateUploadLocation";
    let answer = up.call(Method::POST, path, &headers, request.encode_to_vec().into()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = CreateUploadLocationResponse::decode(answer.body.as_ref()).unwrap();
    let (_, path) = answer.signed_url.split_once("://").unwrap().1.split_once('/').unwrap();
    (format!("/{path}"), answer.native_url)
}

async fn put(up: &Up, link: &str, bytes: &'static [u8]) -> Answer {
    up.call(Method::PUT, link, &[], Bytes::from_static(bytes)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_is_what_the_link_was_made_for_and_stays_what_it_is() {
    let up = Up::start().await;
    let (link, address) = location(&up, "", "", GOOD).await;
    assert!(address.contains(GOOD), "{address}");
    assert_eq!(put(&up, &link, b"evil").await.status, StatusCode::BAD_REQUEST);
    let key = flyte::key(&address).unwrap();
    assert!(up.control.flyte().objects().head(key).is_err(), "nothing is left of it");
    for _ in 0..2 {
        assert_eq!(put(&up, &link, b"good").await.status, StatusCode::OK);
    }
    // Whoever names the folder, with a digest or without one, puts nothing in the place of what is there.
    for (root, md5) in [(GOOD, EVIL), (GOOD, "")] {
        let (link, other) = location(&up, "", root, md5).await;
        assert_eq!(other, address);
        let refused = put(&up, &link, b"evil").await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{}", refused.text());
    }
    assert_eq!(up.control.flyte().objects().get(key).unwrap(), b"good");
    // A link says for whom and for what it is.
    let bent = link.replace(GOOD, EVIL).replace(&format!("/{EVIL}/"), &format!("/{GOOD}/"));
    assert_eq!(put(&up, &bent, b"evil").await.status, StatusCode::FORBIDDEN);
    assert_eq!(put(&up, &format!("{link}&by=tutti-1-0-1"), b"good").await.status, StatusCode::FORBIDDEN);
    up.down().await;
}

/// The SDK uploads a file of any size with one request.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_size_is_uploaded_with_one_request() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = model::limits::FLYTE_OBJECT_PUT_BYTES_MAX / PIECE + 1;
    let up = Up::start().await;
    let (link, address) = location(&up, "", "large", "").await;
    let piece = Bytes::from(vec![7; PIECE]);
    let pieces = futures::stream::iter((0..PIECES).map(move |_| Ok::<_, std::io::Error>(Frame::data(piece.clone()))));
    let answer = up.open(Method::PUT, &link, &[], BodyExt::boxed(StreamBody::new(pieces))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let meta = up.control.flyte().objects().head(flyte::key(&address).unwrap()).unwrap();
    assert_eq!(meta.size, (PIECES * PIECE) as u64);
    up.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_uploads_carries_what_its_data_do() {
    let up = Up::at_work().await;
    up.apply(RULES).await;
    let run = program(&up).await;
    let (root, root_key) = at_work(&up, run, FLYTE_ROOT).await;
    assert_eq!(ask(&up, &root, FLYTE_ROOT, "reader", "reads.scans", "").await, Default::default());
    let (reader, key) = at_work(&up, run, "reader").await;
    let pii = Label::of(["pii"]);
    let theirs = reach_of(&up, key, &pii).await;
    let plain = up.control.flyte_reach(root_key).unwrap().unwrap();
    // Also in a folder that somebody else uses.
    let (link, address) = location(&up, &root, "shared", GOOD).await;
    assert_eq!(put(&up, &link, b"good").await.status, StatusCode::OK);
    let (link, tagged) = location(&up, &reader, "shared", GOOD).await;
    assert_eq!(put(&up, &link, b"good").await.status, StatusCode::OK);
    assert!(tagged.ends_with("/shared/f") && tagged != address, "{tagged}");
    let flyte = up.control.flyte();
    assert_eq!(flyte.label_at(&address).unwrap(), Label::empty());
    assert_eq!(flyte.label_at(&tagged).unwrap(), pii);
    let may = |reach: &flyte::Reach, key: &str| up.control.flyte().may_read(reach, key).unwrap();
    let (open, closed) = (flyte::key(&address).unwrap(), flyte::key(&tagged).unwrap());
    assert!(may(&theirs, open) && may(&theirs, closed) && may(&plain, open));
    assert!(!may(&plain, closed), "it carries what the other does not");
    // Nor does a list of all of them tell of it.
    assert!(!may(&plain, "uploads/mine/development/") && may(&theirs, "uploads/mine/development/"));
    // An attempt whose data carry more than when it asked uploads nothing to where it asked for then.
    assert!(up.control.flyte().may_upload(&plain, open) && !up.control.flyte().may_upload(&theirs, open));
    assert!(up.control.flyte().may_upload(&theirs, closed));
    up.down().await;
}
