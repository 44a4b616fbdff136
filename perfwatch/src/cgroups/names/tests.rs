use super::*;

const ID: &str = "3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567";

fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path.replace("ID", ID));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let roots = Roots { rootfs: root.path().to_owned(), ..Roots::default() };
    (root, roots)
}

/// Asks until the thread has answered.
fn answered(names: &Names, path: &str) -> Arc<Named> {
    let path: Arc<str> = path.replace("ID", ID).into();
    loop {
        let named = names.of(&path);
        let cache = names.0.0.lock();
        let is_known = cache.groups[&path].subject.as_ref().is_none_or(|subject| {
            let answer = &cache.subjects[subject];
            answer.result.is_some() && cache.groups[&path].version == answer.version
        });
        drop(cache);
        if is_known {
            return named;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_container_has_the_start_of_its_id_at_once_and_its_name_soon() {
    let docker =
        r#"{"Name":"/web","Config":{"Image":"nginx:1","Labels":{"com.docker.compose.project":"shop"}}}"#;
    let (_root, roots) = machine(&[("var/lib/docker/containers/ID/config.v2.json", docker)]);
    let names = Names::new(&roots, &[]);
    let path: Arc<str> = format!("/docker/{ID}").into();
    assert_eq!(names.of(&path).identity.name, ID[..12]);
    let web = answered(&names, &path);
    assert_eq!((web.name.as_str(), web.image.as_deref()), ("web", Some("nginx:1")));
    assert_eq!((web.project.as_deref(), web.problem.as_deref()), (Some("shop"), None));
    assert_eq!(answered(&names, "/docker/ID/system.slice/nginx.service").name, "web/nginx.service");
    // Its files are gone with it; the name stays.
    std::fs::remove_dir_all(roots.rootfs.join("var")).unwrap();
    let subject = Subject::of(&web.identity).unwrap();
    let mut cache = names.0.0.lock();
    cache.answered(&subject, Err("gone".into()), Instant::now());
    drop(cache);
    assert_eq!(names.of(&path).name, "web");
}

#[test]
fn what_is_not_found_says_why_and_is_looked_for_less_and_less() {
    let (_root, roots) = machine(&[]);
    let names = Names::new(&roots, &[]);
    let lost = answered(&names, "/docker/ID");
    assert_eq!(lost.name, ID[..12]);
    assert!(lost.problem.as_deref().unwrap().contains("not in the files of docker"), "{lost:?}");
    let subject = Subject::of(&lost.identity).unwrap();
    let mut cache = names.0.0.lock();
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let now = Instant::now();
        cache.answered(&subject, Err("no".into()), now);
        pauses.push(cache.subjects[&subject].due - now);
    }
    assert!(pauses.is_sorted() && pauses[0] >= FIRST_PAUSE && pauses[19] == FOUND_FOR, "{pauses:?}");
}

#[test]
fn sessions_have_the_name_of_their_user() {
    let (_root, roots) = machine(&[("etc/passwd", "alice:x:1000:1000::/home/alice:/bin/sh\n")]);
    let names = Names::new(&roots, &[]);
    assert_eq!(answered(&names, "/user.slice/user-1000.slice/session-4.scope").name, "alice, session 4");
    assert_eq!(answered(&names, "/user.slice/user-1000.slice").name, "alice");
    assert_eq!(answered(&names, "/user.slice/user-1.slice").name, "user 1");
    assert_eq!(answered(&names, "/system.slice/cron.service").name, "cron.service");
}

#[test]
fn a_runtime_that_hangs_holds_nobody_up() {
    let (root, roots) = machine(&[]);
    let socket = root.path().join("docker.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let names = Names::new(&roots, &[socket]);
    for at in 0..10_000 {
        let path: Arc<str> = format!("/docker/{at:064x}").into();
        assert_eq!(names.of(&path).identity.kind, Kind::Container);
    }
    let cache = names.0.0.lock();
    assert!(cache.groups.len() <= MAX_GROUPS && cache.waiting.len() <= MAX_WAITING);
    assert!(cache.groups.values().all(|group| group.version == 0), "nobody has answered");
    drop(cache);
    drop(names); // does not wait either
}
