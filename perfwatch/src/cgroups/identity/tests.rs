use proptest::prelude::*;

use super::*;

/// 64 digits, as IDs have them.
const ID: &str = "3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";
const UID: &str = "2bf37b4f-c0b7-4b0d-9a1e-5f4f8a1b2c3d";

/// `ID`, `OTHER`, `UID` and `U_D` (as systemd needs it) stand for the above.
fn path(of: &str) -> String {
    of.replace("OTHER", OTHER).replace("UID", UID).replace("U_D", &UID.replace('-', "_")).replace("ID", ID)
}

fn identity(of: &str) -> Identity {
    Identity::of(&path(of))
}

#[test]
fn units_of_systemd() {
    for (at, kind, name) in [
        ("/", Kind::Root, "/"),
        ("", Kind::Root, "/"),
        ("/init.scope", Kind::Scope, "init.scope"),
        ("/system.slice", Kind::Slice, "system.slice"),
        ("/system.slice/postgresql.service", Kind::Service, "postgresql.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", Kind::Service, "getty@tty1.service"),
        ("/system.slice/dev-hugepages.mount", Kind::Unit, "dev-hugepages.mount"),
        (r"/system.slice/system-systemd\x2dfsck.slice", Kind::Slice, "system-systemd-fsck.slice"),
        ("/user.slice/user-1000.slice", Kind::User, "user 1000"),
        ("/user.slice/user-1000.slice/session-4.scope", Kind::Session, "session 4"),
        ("/user.slice/user-1000.slice/user@1000.service", Kind::Service, "user@1000.service"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope",
            Kind::Scope,
            "vte-spawn-1.scope",
        ),
        ("/system.slice/postgresql.service/worker", Kind::Group, "postgresql.service/worker"),
        ("/jobs/build", Kind::Group, "jobs/build"),
        ("/ends.in", Kind::Group, "ends.in"),
    ] {
        let found = Identity::of(at);
        assert_eq!((found.kind, found.name.as_str()), (kind, name), "{at}");
        assert_eq!((found.runtime, found.id, found.inside), (None, None, None), "{at}");
    }
    assert_eq!(Identity::of("/user.slice/user-1000.slice/session-4.scope").uid, Some(1000));
    assert_eq!(Identity::of("/user.slice/user-7.slice/user@7.service/app.slice/x.service").uid, Some(7));
}

/// The paths of runtimes with their drivers `cgroupfs` and `systemd`, as their documentation and users report them.
#[test]
fn containers_by_their_id() {
    use Runtime::{BuildKit, Containerd, CriO, Docker, Podman};
    for (at, runtime) in [
        ("/docker/ID", Some(Docker)),
        ("/system.slice/docker-ID.scope", Some(Docker)),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Some(Docker)),
        ("/docker/OTHER/docker/ID", Some(Docker)),
        ("/actions_job/ID", None),
        ("/ecs/5d8f0d1c9f4a4e2b/ID", None),
        ("/machine.slice/libpod-ID.scope", Some(Podman)),
        ("/libpod_parent/libpod-ID", Some(Podman)),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Some(Podman)),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_OTHER.slice/libpod-ID.scope",
            Some(Podman),
        ),
        ("/system.slice/web.service/libpod-payload-ID", Some(Podman)),
        ("/kubepods/burstable/podUID/ID", None),
        ("/kubepods/podUID/ID", None),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        ("/kubepods.slice/kubepods-podU_D.slice/crio-ID.scope", Some(CriO)),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_D.slice/docker-ID.scope",
            Some(Docker),
        ),
        ("/kubepods/besteffort/podUID/crio-ID", Some(CriO)),
        (
            "/system.slice/containerd.service/kubepods-besteffort-podU_D.slice:cri-containerd:ID",
            Some(Containerd),
        ),
        (
            "/docker/OTHER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_D.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        ("/default/ID", Some(Containerd)),
        ("/system.slice/nerdctl-ID.scope", Some(Containerd)),
    ] {
        let found = identity(at);
        assert_eq!((found.kind, found.runtime), (Kind::Container, runtime), "{at}");
        assert_eq!((found.id.as_deref(), found.name.as_str()), (Some(ID), &ID[..12]), "{at}");
        assert_eq!((found.inside, found.owner), (None, path(at).len()), "{at}");
    }
    let built = identity("/docker/buildkit/qv1g7b2q0c5l3d8m9r4t6w0xz");
    assert_eq!((built.kind, built.runtime), (Kind::Container, Some(BuildKit)));
}

#[test]
fn pods_with_their_containers() {
    for at in [
        "/kubepods/burstable/podUID",
        "/kubepods/podUID",
        "/kubepods.slice/kubepods-podU_D.slice",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice",
    ] {
        let pod = identity(at);
        assert_eq!((pod.kind, pod.pod.as_deref(), pod.id), (Kind::Pod, Some(UID), None), "{at}");
        let container = identity(&format!("{at}/crio-ID.scope"));
        assert_eq!((container.kind, container.pod.as_deref()), (Kind::Container, Some(UID)), "{at}");
    }
    let by_hash = Identity::of("/kubepods/burstable/pod0ec3e3eb8b7d1b0e3a9a6a8f3c2b1d4e");
    assert_eq!(by_hash.pod.as_deref(), Some("0ec3e3eb8b7d1b0e3a9a6a8f3c2b1d4e"));
    let podman = identity("/machine.slice/machine-libpod_pod_OTHER.slice");
    assert_eq!((podman.kind, podman.pod.as_deref()), (Kind::Pod, Some(OTHER)));
    for at in
        ["/kubepods/burstable", "/kubepods.slice/kubepods-burstable.slice", "/podracer", "/kubepods/podcast"]
    {
        assert_ne!(Identity::of(at).kind, Kind::Pod, "{at}");
    }
}

#[test]
fn machines_by_their_name() {
    use Runtime::{Libvirt, Lxc, Nspawn};
    for (at, kind, runtime, name) in [
        ("/lxc.payload.web", Kind::Container, Lxc, "web"),
        ("/lxc.payload/web", Kind::Container, Lxc, "web"),
        ("/lxc/web", Kind::Container, Lxc, "web"),
        ("/lxc/101", Kind::Container, Lxc, "101"),
        ("/machine.slice/machine-buster.scope", Kind::Container, Nspawn, "buster"),
        (r"/machine.slice/machine-my\x2dbox.scope", Kind::Container, Nspawn, "my-box"),
        ("/machine.slice/systemd-nspawn@web.service", Kind::Container, Nspawn, "web"),
        (r"/machine.slice/machine-qemu\x2d2\x2ddb\x2d1.scope", Kind::Vm, Libvirt, "db-1"),
        (r"/machine.slice/machine-lxc\x2d7\x2dold.scope", Kind::Container, Libvirt, "old"),
        ("/machine/qemu-3-web.libvirt-qemu", Kind::Vm, Libvirt, "web"),
    ] {
        let found = Identity::of(at);
        assert_eq!((found.kind, found.runtime, found.name.as_str()), (kind, Some(runtime), name), "{at}");
        assert_eq!(found.id, None, "{at}");
    }
    assert_eq!(Identity::of("/lxc.monitor.web").kind, Kind::Group, "beside the container, not in it");
    assert_eq!(identity("/machine.slice/libpod-conmon-ID.scope").kind, Kind::Scope, "likewise");
}

#[test]
fn groups_inside_a_container_are_the_containers() {
    for (at, kind, inside, owner) in [
        ("/docker/ID/init", Kind::Group, "init", "/docker/ID"),
        (
            "/machine.slice/libpod-ID.scope/container",
            Kind::Group,
            "container",
            "/machine.slice/libpod-ID.scope",
        ),
        ("/lxc.payload.web/system.slice/nginx.service", Kind::Service, "nginx.service", "/lxc.payload.web"),
        ("/lxc/101/ns/system.slice", Kind::Slice, "system.slice", "/lxc/101"),
        (
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/vcpu0",
            Kind::Group,
            "libvirt/vcpu0",
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
        ),
        (
            "/machine.slice/systemd-nspawn@web.service/payload/init.scope",
            Kind::Scope,
            "init.scope",
            "/machine.slice/systemd-nspawn@web.service",
        ),
    ] {
        let at = path(at);
        let found = Identity::of(&at);
        assert_eq!((found.kind, found.inside.as_deref()), (kind, Some(inside)), "{at}");
        assert_eq!(found.owner(&at), path(owner));
        assert!(found.runtime.is_some(), "{at}");
    }
    // A container in a container is itself.
    assert_eq!(identity("/docker/ID/docker/OTHER").id.as_deref(), Some(OTHER));
    // A session in a container is nobody's here.
    assert_eq!(identity("/docker/ID/user.slice/user-1000.slice/session-1.scope").uid, None);
}

#[test]
fn what_a_group_belongs_to() {
    for (at, owner) in [
        ("/system.slice/postgresql.service/worker/1", "/system.slice/postgresql.service"),
        (
            "/user.slice/user-1.slice/user@1.service/app.slice/x.service",
            "/user.slice/user-1.slice/user@1.service/app.slice/x.service",
        ),
        ("/user.slice/user-1.slice/session-3.scope/sub", "/user.slice/user-1.slice/session-3.scope"),
        ("/user.slice/user-1.slice", "/user.slice/user-1.slice"),
        ("/jobs/build", "/jobs/build"),
        ("/", "/"),
    ] {
        assert_eq!(Identity::of(at).owner(at), owner);
    }
}

#[test]
fn names_are_fit_to_be_shown() {
    let html = Identity::of("/<img src=x onerror=alert(1)>");
    assert_eq!((html.kind, html.name.as_str()), (Kind::Group, "<img src=x onerror=alert(1)>"));
    let control = Identity::of("/\u{1b}[31mred\u{7}.service");
    assert_eq!(control.name, "\u{fffd}[31mred\u{fffd}.service");
    let long = Identity::of(&format!("/{}.service", "x".repeat(10 << 10)));
    assert_eq!((long.kind, long.name.chars().count()), (Kind::Service, MAX_NAME + 1));
    let escaped = Identity::of(r"/a\x2.service").name;
    assert_eq!(escaped, r"a\x2.service");
    assert_eq!(Identity::of(r"/\xff.service").name, r"\xff.service", "not UTF-8: as it stands");
}

proptest! {
    #[test]
    fn no_path_panics(text in "(/[-a-z0-9.@:_\\\\é\u{1}]{0,20}){0,6}|.{0,80}") {
        let found = Identity::of(&text);
        prop_assert!(!found.name.is_empty() || text.split('/').any(|part| !part.is_empty()));
        prop_assert!(text.starts_with(found.owner(&text)));
    }

    #[test]
    fn an_id_is_found_wherever_it_is(above in "(/[a-z]{1,9}(\\.slice)?){0,4}", id in "[0-9a-f]{64}") {
        let found = Identity::of(&format!("{above}/docker-{id}.scope"));
        prop_assert_eq!(found.id, Some(id));
    }
}
