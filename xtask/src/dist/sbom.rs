//! The bill of materials (CycloneDX 1.5): every crate and npm package that ends up in what people download.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::NAME;
use crate::step::{output, root};

/// Writes the file; returns its name.
pub fn write(folder: &Path, version: &str) -> Result<String> {
    let server = metadata("Cargo.toml", "x86_64-unknown-linux-gnu")?;
    let programs = metadata("perfwatch-ebpf/Cargo.toml", "bpfel-unknown-none")?;
    let lock: Value = serde_json::from_str(&fs::read_to_string(root().join("frontend/package-lock.json"))?)?;
    let mut components = crates(&server, NAME)?;
    // What is linked into the eBPF objects, which the server carries.
    components.extend(crates(&programs, "perfwatch-ebpf")?);
    components.extend(npm_packages(&lock)?);
    let mut named = BTreeSet::new();
    components.retain(|component| named.insert(component["purl"].to_string()));
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "name": NAME,
            "version": version,
            "licenses": [{"expression": "MIT"}],
        }},
        "components": components,
    });
    let file = format!("{NAME}-{version}.cdx.json");
    fs::write(folder.join(&file), format!("{bill:#}\n"))?;
    Ok(file)
}

/// Cargo's metadata on a workspace's packages, for one target.
fn metadata(manifest: &str, target: &str) -> Result<Value> {
    let (manifest, platform) = (root().join(manifest), format!("--filter-platform={target}"));
    let manifest = manifest.display().to_string();
    let options = ["metadata", "--format-version=1", "--locked", &platform, "--manifest-path", &manifest];
    let metadata = output("cargo", &options).with_context(|| format!("cargo metadata of {manifest}"))?;
    Ok(serde_json::from_str(&metadata)?)
}

/// The crates that are linked into `program`: its dependencies, transitively, without tests and build dependencies.
fn crates(metadata: &Value, program: &str) -> Result<Vec<Value>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().context("no packages")?;
    let packages: BTreeMap<String, &Value> =
        packages.iter().map(|package| (text(&package["id"]), package)).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().context("no resolved packages")?;
    let nodes: BTreeMap<String, &Value> = nodes.iter().map(|node| (text(&node["id"]), node)).collect();
    let ours = packages.iter().find(|(_, package)| package["name"] == program && package["source"].is_null());
    let mut waiting = vec![ours.with_context(|| format!("the workspace has no {program}"))?.0.clone()];
    let mut linked = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let dependencies = nodes.get(&id).and_then(|node| node["deps"].as_array());
        for dependency in dependencies.into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let is_linked = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            let id = text(&dependency["pkg"]);
            if is_linked && linked.insert(id.clone()) {
                waiting.push(id);
            }
        }
    }
    let component = |id: &String| {
        let package = packages.get(id)?;
        // Our own packages are the application itself.
        package["source"].as_str()?;
        Some(component("cargo", &text(&package["name"]), &text(&package["version"]), &package["license"]))
    };
    Ok(linked.iter().filter_map(component).collect())
}

fn npm_packages(lock: &Value) -> Result<Vec<Value>> {
    let packages = lock["packages"].as_object().context("package-lock.json without packages")?;
    let shipped = packages.iter().filter(|(path, package)| !path.is_empty() && package["dev"] != true);
    let components = shipped.map(|(path, package)| {
        let name = path.rsplit_once("node_modules/").map_or(path.as_str(), |(_, name)| name);
        component("npm", name, package["version"].as_str().unwrap_or_default(), &package["license"])
    });
    Ok(components.collect())
}

fn component(kind: &str, name: &str, version: &str, licence: &Value) -> Value {
    let mut component = json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:{kind}/{}@{version}", name.replace('@', "%40")),
    });
    if let Some(expression) = licence.as_str() {
        // The old spelling of OR is not a valid SPDX expression.
        component["licenses"] = json!([{"expression": expression.replace('/', " OR ")}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_counts() {
        let package = |name: &str, source: Value| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source});
        let registry = json!("registry+x");
        let metadata = json!({
            "packages": [
                package("perfwatch", Value::Null), package("perfwatch-common", Value::Null),
                package("used", registry.clone()), package("deep", registry.clone()),
                package("tests", registry.clone()), package("builds", registry),
            ],
            "resolve": {"nodes": [
                {"id": "perfwatch", "deps": [
                    {"pkg": "perfwatch-common", "dep_kinds": [{"kind": null}]},
                    {"pkg": "tests", "dep_kinds": [{"kind": "dev"}]},
                    {"pkg": "builds", "dep_kinds": [{"kind": "build"}]},
                ]},
                {"id": "perfwatch-common", "deps": [{"pkg": "used", "dep_kinds": [{"kind": null}]}]},
                {"id": "used", "deps": [{"pkg": "deep", "dep_kinds": [{"kind": "build"}, {"kind": null}]}]},
            ]},
        });
        let crates = crates(&metadata, NAME).unwrap();
        let names: Vec<&Value> = crates.iter().map(|component| &component["name"]).collect();
        assert_eq!(names, ["deep", "used"]);
        assert!(super::crates(&metadata, "another").is_err());
        assert_eq!(crates[0]["purl"], "pkg:cargo/deep@1.0.0");
        assert_eq!(crates[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }

    #[test]
    fn packages_of_the_page_are_named_by_scope() {
        let lock = json!({"packages": {
            "": {"license": "MIT"},
            "node_modules/@vue/shared": {"version": "3.5.0", "license": "MIT"},
            "node_modules/vite": {"version": "8.0.0", "dev": true},
        }});
        let packages = npm_packages(&lock).unwrap();
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0]["purl"], "pkg:npm/%40vue/shared@3.5.0");
    }
}
