use std::io::Write as _;

use super::stand_in::{StandIn, Wrong};
use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

fn put(bucket: &Bucket, name: &str, content: &[u8]) -> io::Result<()> {
    bucket.put(name, file(content).path(), &mut |_| Ok(()))
}

fn reading(bucket: &Bucket, name: &str, content: &[u8]) -> Reading {
    Reading::new(bucket.clone(), name, content.len() as u64, &hash(&mut &*content).unwrap())
}

fn get(bucket: &Bucket, name: &str, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    reading(bucket, name, content).read_to_end(&mut all)?;
    Ok(all)
}

#[test]
fn what_is_written_whole_or_in_parts_is_read_whole_and_in_parts() {
    let (store, large) = (StandIn::new(), bytes((5 << 20) + 17));
    let bucket = store.bucket();
    for (name, content) in [("small", &large[..1000]), ("large", &large[..])] {
        put(&bucket, name, content).unwrap();
        assert_eq!(get(&bucket, name, content).unwrap(), content);
    }
    assert!(store.state.lock().uploads.is_empty());
    // A part of it costs no more than a part.
    store.state.lock().given = 0;
    let mut reader = reading(&bucket, "large", &large);
    reader.seek(SeekFrom::Start(4 << 20)).unwrap();
    let mut part = [0; 100];
    reader.read_exact(&mut part).unwrap();
    assert_eq!(part, large[4 << 20..(4 << 20) + 100]);
    assert!(store.state.lock().given <= 256 << 10);
    reader.seek(SeekFrom::End(-3)).unwrap();
    let mut end = Vec::new();
    reader.read_to_end(&mut end).unwrap();
    assert_eq!(end, large[large.len() - 3..]);
    bucket.delete("large").unwrap();
    bucket.delete("large").unwrap();
    assert_eq!(store.names(), ["small"]);
}

#[test]
fn what_passes_is_tried_again_and_what_lasts_is_told_with_its_reason() {
    let (store, content) = (StandIn::new(), bytes(1000));
    let bucket = store.bucket();
    let passing = [Wrong::Status(503), Wrong::Status(429), Wrong::Silent].map(Some);
    store.goes_wrong(passing);
    put(&bucket, "a", &content).unwrap();
    store.goes_wrong([Some(Wrong::Half), Some(Wrong::Status(500)), Some(Wrong::Silent)]);
    assert_eq!(get(&bucket, "a", &content).unwrap(), content);
    store.goes_wrong([Some(Wrong::Status(403))]);
    let error = put(&bucket, "b", &content).unwrap_err();
    let told = away(&error).unwrap();
    assert_eq!((told.site.as_str(), told.why.as_str()), ("clinic", "it answers 403: Wrong"));
    assert!(error.to_string().starts_with("E0041: the store of the site `clinic` at http://127.0.0.1:"), "{error}");
    store.goes_wrong([Some(Wrong::Status(503)); TRIES as usize]);
    assert!(away(&put(&bucket, "c", &content).unwrap_err()).is_some());
    // Nothing is there to be asked.
    let gone = store.bucket();
    drop(store);
    assert!(away(&put(&gone, "d", &content).unwrap_err()).is_some());
}

#[test]
fn what_was_not_kept_is_not_taken_for_written() {
    let (store, content) = (StandIn::new(), bytes(1000));
    let bucket = store.bucket();
    for wrong in [Wrong::Lies, Wrong::Half] {
        store.goes_wrong([Some(wrong)]);
        assert!(away(&put(&bucket, "a", &content).unwrap_err()).is_some(), "{wrong:?}");
        store.state.lock().objects.clear();
    }
    // Parts that were never put together, though it says so.
    let large = bytes(3 << 20);
    store.goes_wrong([None, None, None, None, Some(Wrong::Lies)]);
    let mut begun = String::new();
    let mut note = |upload: &str| {
        begun = upload.to_owned();
        Ok(())
    };
    assert!(bucket.put("b", file(&large).path(), &mut note).is_err());
    assert_eq!((store.names().len(), store.state.lock().uploads.len()), (0, 1));
    bucket.abandon("b", &begun).unwrap();
    bucket.abandon("b", &begun).unwrap();
    assert!(store.state.lock().uploads.is_empty());
}

#[test]
fn what_comes_in_another_form_is_not_taken_for_what_was_asked() {
    let (store, content) = (StandIn::new(), bytes(300 << 10));
    let bucket = store.bucket();
    put(&bucket, "a", &content).unwrap();
    // Something else, wherever it begins; all of it where a part was asked for.
    store.goes_wrong([Some(Wrong::Other)]);
    assert_eq!(get(&bucket, "a", &content).unwrap_err().kind(), io::ErrorKind::InvalidData);
    store.goes_wrong([None, Some(Wrong::Other)]);
    assert_eq!(get(&bucket, "a", &content).unwrap_err().kind(), io::ErrorKind::InvalidData);
    store.goes_wrong([None, Some(Wrong::All)]);
    assert!(away(&get(&bucket, "a", &content).unwrap_err()).is_some());
    // Of another size, and gone.
    put(&bucket, "b", &content[1..]).unwrap();
    assert!(away(&get(&bucket, "b", &content).unwrap_err()).is_some());
    store.goes_wrong([Some(Wrong::Lies)]);
    assert!(away(&bucket.delete("a").unwrap_err()).is_some(), "it is there still");
    bucket.delete("a").unwrap();
    let error = get(&bucket, "a", &content).unwrap_err();
    assert!(away(&error).is_some() && error.kind() != io::ErrorKind::NotFound, "{error}");
}

#[test]
fn another_bucket_and_another_key_are_refused_by_it() {
    let store = StandIn::new();
    let other = |url: &str, secret: &str| {
        let spec = StoreSpec { url: url.to_owned(), ..store.spec.clone() };
        Bucket::new("clinic", &spec, secret).unwrap().with(1 << 20, Duration::from_millis(1))
    };
    let secret = "a key that is not its own";
    let error = put(&other(&store.spec.url, secret), "a", b"x").unwrap_err();
    assert!(error.to_string().ends_with("it answers 403: SignatureDoesNotMatch"), "{error}");
    assert!(!format!("{error} {:?}", other(&store.spec.url, secret)).contains(secret));
    let secret = sign::secret_of("of the store", "access");
    let elsewhere = other(&store.spec.url.replace("/bucket/", "/another/"), &secret);
    assert!(away(&put(&elsewhere, "a", b"x").unwrap_err()).is_some());
    assert!(away(&elsewhere.delete("a").unwrap_err()).is_some());
}
