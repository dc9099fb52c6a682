use super::*;

fn opened() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path().join("o"), None).unwrap();
    (folder, objects)
}

#[test]
fn an_object_and_others_below_its_name_live_side_by_side() {
    let (_folder, objects) = opened();
    for key in ["a", "a/b", "a/b/c", "../../x", "a//b", "ü%/=+", "a/."] {
        objects.put(key, key.as_bytes()).unwrap();
        assert_eq!(objects.get(key).unwrap(), key.as_bytes(), "{key}");
    }
    let keys: Vec<String> = objects.list("", false, "", 100).unwrap().objects.into_iter().map(|meta| meta.key).collect();
    assert_eq!(keys, ["../../x", "a", "a/.", "a//b", "a/b", "a/b/c", "ü%/=+"]);
    objects.delete("a/b").unwrap();
    objects.delete("a/b").unwrap();
    assert!(objects.get("a/b").is_err() && objects.get("a/b/c").is_ok());
    assert!(objects.put("", b"").is_err() && objects.put(&"x".repeat(2_000), b"").is_err());
}

#[test]
fn listings_have_prefixes_delimiters_and_pages() {
    let (_folder, objects) = opened();
    for key in ["d/1", "d/2", "d/e/3", "d/e/4", "dx", "f"] {
        objects.put(key, b"1").unwrap();
    }
    let page = objects.list("d/", true, "", 10).unwrap();
    assert_eq!(page.prefixes, ["d/e/"]);
    assert_eq!(page.objects.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), ["d/1", "d/2"]);
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let page = objects.list("d", false, &after, 2).unwrap();
        seen.extend(page.objects.into_iter().map(|meta| meta.key));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, ["d/1", "d/2", "d/e/3", "d/e/4", "dx"]);
}

#[test]
fn parts_become_one_object() {
    let (_folder, objects) = opened();
    objects.begin_upload("big", "u1").unwrap();
    objects.put_part("big", "u1", 2, &mut &b"world"[..]).unwrap();
    objects.put_part("big", "u1", 1, &mut &b"hello "[..]).unwrap();
    assert!(objects.finish_upload("other", "u1", &[1, 2]).is_err());
    objects.finish_upload("big", "u1", &[1, 2]).unwrap();
    assert_eq!(objects.get("big").unwrap(), b"hello world");
    assert!(objects.put_part("big", "u1", 3, &mut &b""[..]).is_err());
}
