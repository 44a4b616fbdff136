//! What a cgroup is, from its path alone: a systemd unit, a session, a container, a pod, a virtual machine.
//!
//! It never fails: a group that no rule knows is just a group. Names that only a runtime knows are in [`super::names`].

use std::borrow::Cow;

/// What a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The whole hierarchy.
    Root,
    Slice,
    Service,
    Scope,
    /// Another kind of systemd unit: a mount, a socket, a swap.
    Unit,
    /// A login.
    Session,
    /// Everything of one user.
    User,
    Container,
    /// Of Kubernetes, or of Podman.
    Pod,
    /// A virtual machine.
    Vm,
    Group,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Slice => "slice",
            Self::Service => "service",
            Self::Scope => "scope",
            Self::Unit => "unit",
            Self::Session => "session",
            Self::User => "user",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Vm => "vm",
            Self::Group => "group",
        }
    }

    /// Whether groups below belong to it, rather than being things of their own.
    const fn owns(self) -> bool {
        !matches!(self, Self::Root | Self::Slice | Self::User | Self::Pod | Self::Group)
    }
}

/// Who runs a container or a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    Docker,
    Podman,
    Containerd,
    CriO,
    BuildKit,
    Lxc,
    Nspawn,
    Libvirt,
}

impl Runtime {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::BuildKit => "buildkit",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Libvirt => "libvirt",
        }
    }
}

/// What a path says of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub kind: Kind,
    /// Of the innermost container or virtual machine that it is, or is in; `None` also if the path does not say.
    pub runtime: Option<Runtime>,
    /// The runtime's ID of that container. Runtimes that have only names have none.
    pub id: Option<String>,
    /// UID of the Kubernetes pod, or ID of the Podman pod, that it is or is in.
    pub pod: Option<String>,
    /// Whose session, or whose services, it is in.
    pub uid: Option<u32>,
    /// As far as the path says; of a container without a name in its path, the beginning of its ID.
    pub name: String,
    /// If it is a group inside a container: its name there.
    pub inside: Option<String>,
    /// Bytes of the path that lead to the service, container, scope or session which it is or is in; the whole path
    /// if there is none.
    owner: usize,
}

/// Characters shown of an ID, as the runtimes' own tools do.
const SHORT_ID: usize = 12;

/// Characters kept of a name.
const MAX_NAME: usize = 256;

impl Identity {
    pub fn of(path: &str) -> Self {
        let mut found = Self {
            kind: Kind::Root,
            runtime: None,
            id: None,
            pod: None,
            uid: None,
            name: "/".to_owned(),
            inside: None,
            owner: path.len(),
        };
        let (mut owner, mut container) = (None, None);
        let mut parent = "";
        let mut end = 0;
        for part in path.split('/') {
            end += part.len();
            if !part.is_empty() {
                let place =
                    Place { part, parent, in_pod: found.pod.is_some(), in_slice: parent.ends_with(".slice") };
                let thing = place.thing();
                let mut kind = thing.kind;
                let is_container = matches!(kind, Kind::Container | Kind::Vm);
                if is_container {
                    // What runs in a container is another world.
                    (found.runtime, found.id) = (thing.runtime, thing.id);
                    container = Some(end);
                } else if kind == Kind::Pod {
                    found.pod = thing.id;
                }
                if container.is_none() {
                    found.uid = thing.uid.or(found.uid);
                }
                if is_container || (kind.owns() && container.is_none()) {
                    owner = Some((end, thing.name.clone()));
                }
                found.name = thing.name;
                if kind == Kind::Group
                    && container.is_none()
                    && let Some((at, name)) = &owner
                {
                    found.name = format!("{name}{}", &path[*at..end]);
                } else if kind == Kind::Group && container.is_none() {
                    found.name = path[..end].trim_start_matches('/').to_owned();
                }
                if let Some(at) = container.filter(|at| *at < end) {
                    let own = if kind == Kind::Group { path[at..end].trim_matches('/') } else { &found.name };
                    found.inside = Some(shown(own).into_owned());
                    found.name = owner.as_ref().map(|(_, name)| name.clone()).unwrap_or_default();
                    // The first processes of a container may be in a group of their own, made by the runtime.
                    kind = if kind.owns() || kind == Kind::Slice { kind } else { Kind::Group };
                } else {
                    found.inside = None;
                }
                found.kind = kind;
                parent = part;
            }
            end += 1;
        }
        found.owner = owner.map_or(path.len(), |(end, _)| end);
        found.name = shown(&found.name).into_owned();
        found
    }

    /// The path of the service, container, scope or session that the group at `path` is or is in; its own if there is
    /// none.
    pub fn owner<'a>(&self, path: &'a str) -> &'a str {
        path.get(..self.owner).unwrap_or(path)
    }
}

/// What one directory is.
struct Thing {
    kind: Kind,
    name: String,
    runtime: Option<Runtime>,
    id: Option<String>,
    uid: Option<u32>,
}

impl Thing {
    fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), runtime: None, id: None, uid: None }
    }

    fn container(runtime: Option<Runtime>, id: &str) -> Self {
        let name = id.get(..SHORT_ID).unwrap_or(id);
        Self { runtime, id: Some(id.to_owned()), ..Self::new(Kind::Container, name) }
    }

    fn named(kind: Kind, runtime: Runtime, name: impl Into<String>) -> Self {
        Self { runtime: Some(runtime), ..Self::new(kind, name) }
    }

    fn pod(id: String) -> Self {
        let name = format!("pod {}", id.get(..SHORT_ID).unwrap_or(&id));
        Self { id: Some(id), ..Self::new(Kind::Pod, name) }
    }
}

/// A directory and what is known from those above it.
struct Place<'a> {
    part: &'a str,
    parent: &'a str,
    in_pod: bool,
    in_slice: bool,
}

impl Place<'_> {
    fn thing(&self) -> Thing {
        self.container().or_else(|| self.machine()).or_else(|| self.pod()).unwrap_or_else(|| self.unit())
    }

    /// Docker, Podman, containerd, CRI-O, and others that use the same IDs.
    fn container(&self) -> Option<Thing> {
        // containerd and CRI-O without systemd's driver: `kubepods-burstable-pod1234.slice:cri-containerd:ID`.
        if let [_, prefix, id] = self.part.split(':').collect::<Vec<_>>()[..]
            && is_id(id)
        {
            return Some(Thing::container(runtime_of(prefix), id));
        }
        let bare = self.part.strip_suffix(".scope").unwrap_or(self.part);
        if is_id(bare) {
            let runtime = match self.parent {
                "docker" => Some(Runtime::Docker),
                "libpod_parent" => Some(Runtime::Podman),
                // The name of containerd's namespace is the parent's: `default` for nerdctl and ctr.
                "default" | "k8s.io" | "moby" => Some(Runtime::Containerd),
                _ => None,
            };
            return Some(Thing::container(runtime, bare));
        }
        if self.parent == "buildkit" {
            return Some(Thing::container(Some(Runtime::BuildKit), self.part));
        }
        // `docker-ID.scope`, `libpod-ID`, `crio-ID`, `cri-containerd-ID.scope`.
        let (prefix, id) = bare.rsplit_once('-').filter(|(_, id)| is_id(id))?;
        Some(match prefix {
            // The monitor that Podman and CRI-O start beside each container is not in it.
            "libpod-conmon" | "crio-conmon" => Thing::new(Kind::Scope, format!("conmon {}", &id[..SHORT_ID])),
            prefix => Thing::container(runtime_of(prefix), id),
        })
    }

    /// LXC, systemd-nspawn, libvirt.
    fn machine(&self) -> Option<Thing> {
        let part = self.part;
        let lxc = part.strip_prefix("lxc.payload.");
        let lxc = lxc.or_else(|| matches!(self.parent, "lxc" | "lxc.payload").then_some(part));
        if let Some(name) = lxc {
            return Some(Thing::named(Kind::Container, Runtime::Lxc, name));
        }
        if let Some(name) = part.strip_prefix("lxc.monitor.") {
            return Some(Thing::new(Kind::Group, format!("lxc monitor {name}")));
        }
        if let Some(name) =
            part.strip_prefix("systemd-nspawn@").and_then(|name| name.strip_suffix(".service"))
        {
            return Some(Thing::named(Kind::Container, Runtime::Nspawn, unescaped(name)));
        }
        // `qemu-2-web.libvirt-qemu`, of libvirt without systemd.
        if let Some(name) = part.strip_suffix(".libvirt-qemu") {
            return Some(Thing::named(Kind::Vm, Runtime::Libvirt, without_number(name)));
        }
        if let Some(name) = part.strip_suffix(".libvirt-lxc") {
            return Some(Thing::named(Kind::Container, Runtime::Libvirt, without_number(name)));
        }
        let machine = part.strip_prefix("machine-").and_then(|name| name.strip_suffix(".scope"))?;
        let machine = unescaped(machine);
        Some(if let Some(name) = machine.strip_prefix("qemu-") {
            Thing::named(Kind::Vm, Runtime::Libvirt, after_number(name))
        } else if let Some(name) = machine.strip_prefix("lxc-").filter(|name| after_number(name) != *name) {
            Thing::named(Kind::Container, Runtime::Libvirt, after_number(name))
        } else {
            Thing::named(Kind::Container, Runtime::Nspawn, machine)
        })
    }

    /// `pod1234-…` by the kubelet, `kubepods-burstable-pod1234_….slice` with systemd's driver, and Podman's pods.
    fn pod(&self) -> Option<Thing> {
        let slice = self.part.strip_suffix(".slice");
        if let Some((_, id)) = slice.unwrap_or(self.part).rsplit_once("libpod_pod_")
            && is_id(id)
        {
            return Some(Thing::pod(id.to_owned()));
        }
        let uid = match slice {
            Some(name) if name.contains("kubepods") => name.rsplit_once("-pod")?.1.replace('_', "-"),
            None if matches!(self.parent, "kubepods" | "burstable" | "besteffort" | "guaranteed") => {
                self.part.strip_prefix("pod")?.to_owned()
            }
            _ => return None,
        };
        // A UUID, or the hash of a static pod's manifest.
        let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_uid.then(|| Thing::pod(uid))
    }

    /// Units of systemd.
    fn unit(&self) -> Thing {
        let Some((stem, suffix)) = self.part.rsplit_once('.') else {
            return Thing::new(Kind::Group, self.part);
        };
        let kind = match suffix {
            "slice" => Kind::Slice,
            "service" => Kind::Service,
            "scope" => Kind::Scope,
            "mount" | "socket" | "swap" => Kind::Unit,
            _ => return Thing::new(Kind::Group, self.part),
        };
        let number = |text: &str| text.parse::<u32>().ok();
        if kind == Kind::Slice
            && let Some(uid) = stem.strip_prefix("user-").and_then(number)
        {
            return Thing { uid: Some(uid), ..Thing::new(Kind::User, format!("user {uid}")) };
        }
        if kind == Kind::Scope
            && self.in_slice
            && !self.in_pod
            && let Some(session) = stem.strip_prefix("session-")
        {
            return Thing::new(Kind::Session, format!("session {session}"));
        }
        Thing::new(kind, unescaped(self.part))
    }
}

/// The IDs of Docker, Podman, containerd's CRI and CRI-O.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn runtime_of(prefix: &str) -> Option<Runtime> {
    match prefix {
        "docker" => Some(Runtime::Docker),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        "cri-containerd" | "nerdctl" | "containerd" => Some(Runtime::Containerd),
        "crio" => Some(Runtime::CriO),
        _ => None,
    }
}

/// `qemu-2-web` is `web`.
fn without_number(name: &str) -> String {
    name.split_once('-').map_or(name, |(_, rest)| after_number(rest)).to_owned()
}

/// `2-web` is `web`.
fn after_number(name: &str) -> &str {
    match name.split_once('-') {
        Some((number, rest)) if !rest.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => name,
    }
}

/// systemd's escapes undone: `\x2d` is a dash.
fn unescaped(name: &str) -> String {
    if !name.contains("\\x") {
        return name.to_owned();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = rest.strip_prefix(b"\\x").and_then(|code| code.get(..2));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(code);
            rest = &rest[4..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

/// A name fit to be shown: without control characters, and not endless.
pub(super) fn shown(name: &str) -> Cow<'_, str> {
    let is_plain = !name.chars().any(char::is_control) && name.len() <= MAX_NAME;
    if is_plain {
        return Cow::Borrowed(name);
    }
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut text: String = name.chars().take(MAX_NAME).map(plain).collect();
    if name.chars().nth(MAX_NAME).is_some() {
        text.push('…');
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests;
