//! What a runtime says of a container, and how its files and its API write that.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cgroups::identity::{Runtime, shown};

/// Texts are fit to be shown; what is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub name: Option<String>,
    pub image: Option<String>,
    /// Kubernetes: the pod's name and namespace.
    pub pod: Option<String>,
    pub namespace: Option<String>,
    /// Of Docker Compose.
    pub project: Option<String>,
    /// If the path does not say it.
    pub runtime: Option<Runtime>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.pod.is_none()
    }

    /// Adds what another source knows.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            image: self.image.or(other.image),
            pod: self.pod.or(other.pod),
            namespace: self.namespace.or(other.namespace),
            project: self.project.or(other.project),
            runtime: self.runtime.or(other.runtime),
        }
    }
}

/// A text from outside; `None` if it is empty.
pub(super) fn text(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| shown(value).into_owned())
}

fn member(of: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| of.get(*name)?.as_str()).and_then(text)
}

/// Docker's `config.v2.json`, and the answer of its API to `GET /containers/ID/json`.
#[derive(Debug, Deserialize)]
struct DockerContainer {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config")]
    config: Option<DockerConfig>,
}

#[derive(Debug, Deserialize)]
struct DockerConfig {
    #[serde(rename = "Image", default)]
    image: String,
    #[serde(rename = "Labels", default)]
    labels: Option<Map<String, Value>>,
}

pub(super) fn of_docker(json: &[u8]) -> Option<Found> {
    let container: DockerContainer = serde_json::from_slice(json).ok()?;
    let config = container.config;
    let labels = config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let name = member(&labels, &["io.kubernetes.container.name"]);
    let found = Found {
        name: name.or_else(|| text(container.name.trim_start_matches('/'))),
        image: config.and_then(|config| text(&config.image)),
        pod: member(&labels, &["io.kubernetes.pod.name"]),
        namespace: member(&labels, &["io.kubernetes.pod.namespace"]),
        project: member(&labels, &["com.docker.compose.project", "io.podman.compose.project"]),
        runtime: None,
    };
    (!found.is_empty()).then_some(found)
}

/// One of `containers.json`, of Podman and CRI-O.
#[derive(Debug, Deserialize)]
struct StoredContainer {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    /// A JSON text in the JSON text.
    #[serde(default)]
    metadata: String,
}

/// The container `id` of a `containers.json` of containers/storage.
pub(super) fn of_storage(json: &[u8], id: &str) -> Option<Found> {
    let containers: Vec<StoredContainer> = serde_json::from_slice(json).ok()?;
    let container = containers.into_iter().find(|container| container.id == id)?;
    let metadata: Map<String, Value> = serde_json::from_str(&container.metadata).unwrap_or_default();
    // CRI-O notes the pod with its container; Podman has nothing of the kind.
    let pod = member(&metadata, &["pod-name"]);
    let own = container.names.unwrap_or_default().first().and_then(|name| text(name));
    let of_cri_o = member(&metadata, &["metadata-name"]).filter(|_| pod.is_some());
    let found = Found {
        name: of_cri_o.or_else(|| member(&metadata, &["name"])).or(own),
        image: member(&metadata, &["image-name"]),
        runtime: Some(if pod.is_some() { Runtime::CriO } else { Runtime::Podman }),
        // Its name has the form `k8s_POD_NAMESPACE_UID_ATTEMPT`.
        namespace: member(&metadata, &["namespace"]),
        pod: pod.map(|pod| short_pod(&pod)),
        project: None,
    };
    (!found.is_empty()).then_some(found)
}

fn short_pod(pod: &str) -> String {
    let parts: Vec<&str> = pod.split('_').collect();
    match parts[..] {
        ["k8s", name, _, _, _] => name.to_owned(),
        _ => pod.to_owned(),
    }
}

#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: Map<String, Value>,
}

/// The annotations in the `config.json` that a low-level runtime is given: by containerd and CRI-O.
pub(super) fn of_spec(json: &[u8]) -> Option<Found> {
    let Spec { annotations } = serde_json::from_slice(json).ok()?;
    let of = |names: &[&str]| member(&annotations, names);
    let is_sandbox = of(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"])
        .is_some_and(|kind| kind == "sandbox");
    let name = of(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]);
    let found = Found {
        // Holds the pod's namespaces; the kubelet calls it POD.
        name: if is_sandbox { Some("pause".to_owned()) } else { name },
        image: of(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
            "org.opencontainers.image.ref.name",
        ]),
        pod: of(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: of(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        project: None,
        runtime: annotations
            .keys()
            .any(|key| key.starts_with("io.kubernetes.cri."))
            .then_some(Runtime::Containerd),
    };
    (!found.is_empty()).then_some(found)
}

/// The name of a file in `/var/log/containers`: `POD_NAMESPACE_CONTAINER-ID.log`.
pub(super) fn of_log(file: &str, id: &str) -> Option<Found> {
    let rest = file.strip_suffix(".log")?.strip_suffix(id)?.strip_suffix('-')?;
    let mut parts = rest.split('_');
    let (pod, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Found { name: text(name), pod: text(pod), namespace: text(namespace), ..Found::default() })
}

/// The name of a directory in `/var/log/pods`: `NAMESPACE_POD_UID`.
pub(super) fn of_pod_directory(directory: &str, uid: &str) -> Option<Found> {
    let (namespace, pod) = directory.strip_suffix(uid)?.strip_suffix('_')?.split_once('_')?;
    Some(Found { name: text(pod), pod: text(pod), namespace: text(namespace), ..Found::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4b9d1c2a5e687790abcdef0123456789abcdef0123456789abcdef01234567";

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn docker_and_its_compose() {
        let json = br#"{"ID":"3f","Name":"/shop-web-1","Config":{"Image":"nginx:1.27","Env":["SECRET=x"],
            "Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}},"State":{"Running":true}}"#;
        let found = of_docker(json).unwrap();
        assert_eq!(
            (found.name, found.image, found.project),
            (some("shop-web-1"), some("nginx:1.27"), some("shop"))
        );
        assert_eq!(
            of_docker(br#"{"Name":"/x","Config":{"Image":"i","Labels":null}}"#).unwrap().name,
            some("x")
        );
        for bad in [&b""[..], b"{", b"[]", b"{}", br#"{"Name":7}"#, br#"{"message":"No such container"}"#] {
            assert_eq!(of_docker(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn podman_and_cri_o_share_a_list() {
        let json = format!(
            r#"[{{"id":"{ID}","names":["web"],"image":"9f3b","layer":"l","metadata":"{{\"image-name\":\"docker.io/library/alpine:latest\",\"image-id\":\"9f3b\",\"name\":\"web\",\"created-at\":1}}"}},
                {{"id":"0b","names":null,"metadata":"{{\"pod-name\":\"k8s_web-7d4b_default_2bf37b4f_0\",\"pod-id\":\"p\",\"image-name\":\"reg/web:2\",\"container-name\":\"k8s_nginx_web-7d4b_default_2bf37b4f_0\",\"metadata-name\":\"nginx\",\"namespace\":\"default\"}}"}}]"#
        );
        let podman = of_storage(json.as_bytes(), ID).unwrap();
        assert_eq!((podman.name, podman.pod, podman.runtime), (some("web"), None, Some(Runtime::Podman)));
        assert_eq!(podman.image, some("docker.io/library/alpine:latest"));
        let cri_o = of_storage(json.as_bytes(), "0b").unwrap();
        assert_eq!(
            (cri_o.name, cri_o.pod, cri_o.runtime),
            (some("nginx"), some("web-7d4b"), Some(Runtime::CriO))
        );
        assert_eq!((cri_o.namespace, cri_o.image), (some("default"), some("reg/web:2")));
        assert_eq!(of_storage(json.as_bytes(), "unknown"), None);
        assert_eq!(of_storage(b"[{]", ID), None);
        // What is in a metadata that is no JSON is lost, not the name.
        let odd = format!(r#"[{{"id":"{ID}","names":["odd"],"metadata":"{{"}}]"#);
        assert_eq!(of_storage(odd.as_bytes(), ID).unwrap().name, some("odd"));
    }

    #[test]
    fn containerd_and_cri_o_annotate() {
        let containerd = of_spec(
            br#"{"ociVersion":"1.1","annotations":{"io.kubernetes.cri.container-name":"coredns","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.image-name":"registry.k8s.io/coredns:v1.11","io.kubernetes.cri.sandbox-name":"coredns-5d78c","io.kubernetes.cri.sandbox-namespace":"kube-system"}}"#,
        )
        .unwrap();
        assert_eq!((containerd.name, containerd.pod), (some("coredns"), some("coredns-5d78c")));
        assert_eq!(
            (containerd.namespace, containerd.runtime),
            (some("kube-system"), Some(Runtime::Containerd))
        );
        let sandbox = of_spec(br#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"p"}}"#);
        assert_eq!(sandbox.unwrap().name, some("pause"));
        let cri_o = of_spec(
            br#"{"annotations":{"io.kubernetes.container.name":"web","io.kubernetes.pod.name":"web-1","io.kubernetes.pod.namespace":"shop",
            "io.kubernetes.cri-o.ImageName":"reg/web:2","io.kubernetes.cri-o.ContainerType":"container"}}"#,
        )
        .unwrap();
        assert_eq!((cri_o.name, cri_o.image, cri_o.runtime), (some("web"), some("reg/web:2"), None));
        assert_eq!(of_spec(b"{}"), None);
        assert_eq!(of_spec(br#"{"annotations":{"x":1}}"#), None);
    }

    #[test]
    fn the_kubelet_names_logs() {
        let found = of_log(&format!("web-1_shop_nginx-proxy-{ID}.log"), ID).unwrap();
        assert_eq!(
            (found.name, found.pod, found.namespace),
            (some("nginx-proxy"), some("web-1"), some("shop"))
        );
        assert_eq!(of_log(&format!("{ID}.log"), ID), None);
        let pod = of_pod_directory("kube-system_etcd-node_0ec3e3eb", "0ec3e3eb").unwrap();
        assert_eq!((pod.namespace, pod.pod), (some("kube-system"), some("etcd-node")));
        assert_eq!(of_pod_directory("0ec3e3eb", "0ec3e3eb"), None);
    }

    #[test]
    fn names_from_outside_are_fit_to_be_shown() {
        let json = format!(r#"{{"Name":"/<b>\u001b[2J{}","Config":{{"Image":" "}}}}"#, "x".repeat(10 << 10));
        let found = of_docker(json.as_bytes()).unwrap();
        let name = found.name.unwrap();
        assert!(name.starts_with("<b>\u{fffd}[2J") && name.chars().count() < 300, "{name}");
        assert_eq!(found.image, None);
    }
}
