use super::*;
use std::os::unix::fs::PermissionsExt;

const ID: &str = "3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567";
const UID: &str = "2bf37b4f-c0b7-4b0d-9a1e-5f4f8a1b2c3d";

/// A machine with these files below its root.
struct Machine(tempfile::TempDir);

impl Machine {
    fn with(files: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = machine.0.path().join(path.replace("UID", UID).replace("ID", ID));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ID", ID)).unwrap();
        }
        machine
    }

    fn runtimes(&self, sockets: &[PathBuf]) -> Runtimes {
        Runtimes::new(&Roots { rootfs: self.0.path().to_owned(), ..Roots::default() }, sockets)
    }

    fn container(&self, runtime: Option<Runtime>, uid: Option<u32>) -> Result<Found, String> {
        self.runtimes(&[]).look_up(&Subject::Container { id: ID.to_owned(), runtime, uid })
    }
}

const DOCKER: &str = r#"{"Name":"/web","Config":{"Image":"nginx:1","Labels":{}}}"#;
const PODMAN: &str = r#"[{"id":"ID","names":["web"],"metadata":"{\"image-name\":\"docker.io/library/nginx:1\",\"name\":\"web\"}"}]"#;
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:,,,:/home/alice:/bin/sh\n";

#[test]
fn names_come_from_the_files_of_the_runtime() {
    let some = |text: &str| Some(text.to_owned());
    for (files, runtime, uid, whose) in [
        (
            &[("var/lib/docker/containers/ID/config.v2.json", DOCKER)][..],
            Some(Runtime::Docker),
            None,
            Runtime::Docker,
        ),
        (&[("var/lib/docker/containers/ID/config.v2.json", DOCKER)], None, None, Runtime::Docker),
        (
            &[
                ("etc/docker/daemon.json", r#"{"data-root":"/srv/docker"}"#),
                ("srv/docker/containers/ID/config.v2.json", DOCKER),
            ],
            None,
            None,
            Runtime::Docker,
        ),
        (
            &[
                ("etc/passwd", PASSWD),
                ("home/alice/.local/share/docker/containers/ID/config.v2.json", DOCKER),
            ],
            Some(Runtime::Docker),
            Some(1000),
            Runtime::Docker,
        ),
        (
            &[("var/lib/containers/storage/overlay-containers/containers.json", PODMAN)],
            Some(Runtime::Podman),
            None,
            Runtime::Podman,
        ),
        (
            &[("var/lib/containers/storage/vfs-containers/volatile-containers.json", PODMAN)],
            None,
            None,
            Runtime::Podman,
        ),
        (
            &[
                ("etc/passwd", PASSWD),
                ("home/alice/.local/share/containers/storage/overlay-containers/containers.json", PODMAN),
            ],
            Some(Runtime::Podman),
            Some(1000),
            Runtime::Podman,
        ),
    ] {
        let found = Machine::with(files).container(runtime, uid).unwrap();
        assert_eq!((found.name, found.runtime), (some("web"), Some(whose)), "{files:?}");
        assert!(found.image.unwrap().ends_with("nginx:1"));
    }
}

#[test]
fn pods_have_theirs_from_the_kubelet_and_its_runtime() {
    let spec = r#"{"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"web-1",
        "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.image-name":"reg/web:2"}}"#;
    let cri_o = r#"{"annotations":{"io.kubernetes.container.name":"web","io.kubernetes.pod.name":"web-1",
        "io.kubernetes.pod.namespace":"shop","io.kubernetes.cri-o.ImageName":"reg/web:2"}}"#;
    for (file, text, image) in [
        ("run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json", spec, true),
        ("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json", spec, true),
        ("run/containers/storage/overlay-containers/ID/userdata/config.json", cri_o, true),
        ("var/log/containers/web-1_shop_web-ID.log", "", false),
    ] {
        let found = Machine::with(&[(file, text)]).container(None, None).unwrap();
        let names = [found.name, found.pod, found.namespace].map(Option::unwrap);
        assert_eq!(
            (names, found.image.is_some()),
            (["web", "web-1", "shop"].map(str::to_owned), image),
            "{file}"
        );
    }
    let machine = Machine::with(&[("var/log/pods/shop_web-1_UID/web/0.log", "")]);
    let subject = Subject::Pod(UID.to_owned());
    assert_eq!(machine.runtimes(&[]).look_up(&subject).unwrap().pod.as_deref(), Some("web-1"));
    let why = Machine::with(&[]).runtimes(&[]).look_up(&subject).unwrap_err();
    assert!(why.contains("var/log/pods"), "{why}");
}

#[test]
fn who_cannot_be_named_says_why() {
    let why = Machine::with(&[]).container(Some(Runtime::Docker), None).unwrap_err();
    assert!(
        why.contains("not in the files of docker") && why.contains("PERFWATCH_CONTAINER_SOCKETS"),
        "{why}"
    );
    for damaged in ["", "{", "null", "\u{0}\u{1}"] {
        let machine = Machine::with(&[
            ("var/lib/docker/containers/ID/config.v2.json", damaged),
            ("var/lib/containers/storage/overlay-containers/containers.json", damaged),
        ]);
        assert!(machine.container(None, None).is_err(), "{damaged:?}");
    }
    let machine = Machine::with(&[]);
    let silent = machine.0.path().join("docker.sock");
    let subject = Subject::Container { id: ID.to_owned(), runtime: None, uid: None };
    let why = machine.runtimes(std::slice::from_ref(&silent)).look_up(&subject).unwrap_err();
    assert!(why.contains("docker.sock"), "{why}");
}

#[test]
fn files_that_may_not_be_read_are_the_reason() {
    // Not even by root, and whoever opened the pipe would wait for a writer.
    let machine = Machine::with(&[("var/lib/docker/containers/ID/x", "")]);
    let pipe = machine.0.path().join(format!("var/lib/docker/containers/{ID}/config.v2.json"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let why = machine.container(Some(Runtime::Docker), None).unwrap_err();
    assert!(why.contains("config.v2.json") && why.contains("not a regular file"), "{why}");
    if rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::with(&[("var/lib/docker/containers/ID/config.v2.json", DOCKER)]);
    let closed = machine.0.path().join("var/lib/docker");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
    let why = machine.container(Some(Runtime::Docker), None).unwrap_err();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(why.contains("config.v2.json") && why.contains("ermission"), "{why}");
}

#[test]
fn users_have_their_login() {
    let machine = Machine::with(&[("etc/passwd", PASSWD)]);
    let mut runtimes = machine.runtimes(&[]);
    assert_eq!(runtimes.look_up(&Subject::User(1000)).unwrap().name.as_deref(), Some("alice"));
    assert!(runtimes.look_up(&Subject::User(7)).unwrap_err().contains("etc/passwd"));
}
