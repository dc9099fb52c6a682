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

#[test]
fn what_is_there_stays_where_that_is_wanted() {
    let (_folder, objects) = opened();
    let write = |bytes: &[u8], earlier| objects.write("k", &mut &*bytes, earlier).map(drop).map_err(|error| error.kind());
    assert_eq!(write(b"one", Earlier::Same), Ok(()));
    assert_eq!(write(b"one", Earlier::Same), Ok(()));
    for (bytes, earlier) in [(&b"two"[..], Earlier::Same), (b"one and more", Earlier::Same), (b"one", Earlier::Kept)] {
        assert_eq!(write(bytes, earlier), Err(io::ErrorKind::AlreadyExists));
    }
    assert_eq!(objects.get("k").unwrap(), b"one");
    assert_eq!(write(b"two", Earlier::Replaced), Ok(()));
    assert_eq!(objects.get("k").unwrap(), b"two");
    let left = fs::read_dir(objects.root.join("tmp")).unwrap().count();
    assert_eq!(left, 0, "nothing is left half written");
    // Of many at once one is first.
    let objects = &objects;
    let won = std::thread::scope(|scope| {
        let write = |n: u8| objects.write("lock", &mut &[n][..], Earlier::Kept).is_ok();
        let all: Vec<_> = (0..8).map(|n| scope.spawn(move || write(n))).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
}

#[test]
fn an_upload_has_more_parts_than_files_can_be_open() {
    let (_folder, objects) = opened();
    objects.begin_upload("many", "u1").unwrap();
    let numbers: Vec<u32> = (1..=3_000).collect();
    for number in &numbers {
        objects.put_part("many", "u1", *number, &mut &number.to_be_bytes()[..]).unwrap();
    }
    objects.finish_upload("many", "u1", &numbers).unwrap();
    let expected: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    assert_eq!(objects.get("many").unwrap(), expected);
}

#[test]
fn uploads_that_nobody_goes_on_with_are_given_up() {
    let (_folder, objects) = opened();
    for (key, name) in [("runs/p/d/r/a0/1/x", "u1"), ("runs/p/d/rr/x", "u2"), ("uploads/p/d/x", "u3")] {
        objects.begin_upload(key, name).unwrap();
    }
    let left = || fs::read_dir(objects.root.join("parts")).unwrap().count();
    objects.sweep(Duration::from_secs(3_600)).unwrap();
    assert_eq!(left(), 3, "they may still go on");
    // Once they are older than a moment.
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while left() > 0 && std::time::Instant::now() < until {
        objects.sweep(Duration::from_millis(1)).unwrap();
    }
    assert_eq!(left(), 0);
}
