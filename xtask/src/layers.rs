//! Which crate may depend on which.

use crate::step;
use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Crates and all that they may depend on of ours; those that are not listed are free, but not published.
const LAYERS: &[(&str, &[&str])] = &[
    ("shmx-abi", &[]),
    ("shmx-os", &[]),
    ("shmx-ring", &["shmx-abi"]),
    ("shmx", &["shmx-abi", "shmx-os", "shmx-ring"]),
    ("shmx-record", &["shmx", "shmx-os"]),
    ("shmx-capi", &["shmx"]),
    ("shmx-bridge", &["shmx", "shmx-os", "shmx-record"]),
    ("shmx-cli", &["shmx", "shmx-os", "shmx-record"]),
];

/// Workspaces of their own, and what they may depend on of ours.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("python/Cargo.toml", &["shmx"]),
    ("live/Cargo.toml", &["shmx", "shmx-os", "shmx-record"]),
    ("bridges/zenoh/Cargo.toml", &["shmx", "shmx-bridge", "shmx-os"]),
];

pub(crate) fn check() -> Result<()> {
    let mut errors = violations(&metadata("Cargo.toml")?)?;
    for (manifest, allowed) in OUTSIDE {
        errors.extend(strangers(&metadata(manifest)?, allowed)?.into_iter().map(|e| format!("{manifest}: {e}")));
    }
    if !errors.is_empty() {
        bail!("{}", errors.join("; "));
    }
    Ok(())
}

fn metadata(manifest: &str) -> Result<Value> {
    let out = step::cargo(&["metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest]).output()?;
    if !out.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// Dependencies by path on crates that are not allowed.
fn strangers(metadata: &Value, allowed: &[&str]) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let dependencies = packages.iter().flat_map(|p| p["dependencies"].as_array().into_iter().flatten());
    // Tests may use more.
    let ours = dependencies.filter(|d| d["path"].is_string() && d["kind"] != "dev").filter_map(|d| d["name"].as_str());
    Ok(ours.filter(|name| !allowed.contains(name)).map(|name| format!("must not depend on {name}")).collect())
}

fn violations(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut errors = Vec::new();
    for (listed, _) in LAYERS {
        if !names.contains(listed) {
            errors.push(format!("{listed} is not in the workspace"));
        }
    }
    for p in packages {
        let name = p["name"].as_str().context("a package without name")?;
        let Some((_, allowed)) = LAYERS.iter().find(|(n, _)| *n == name) else {
            if p["publish"] != Value::Array(Vec::new()) {
                errors.push(format!("{name} has no layer and is not `publish = false`"));
            }
            continue;
        };
        for d in p["dependencies"].as_array().into_iter().flatten() {
            let on = d["name"].as_str().unwrap_or_default();
            // Tests and examples may use what the crate itself may not.
            if d["kind"] != "dev" && names.contains(&on) && !allowed.contains(&on) {
                errors.push(format!("{name} must not depend on {on}"));
            }
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_upward_dependency_is_found() {
        let mut packages: Vec<Value> =
            LAYERS.iter().map(|(n, _)| json!({"name": n, "publish": null, "dependencies": []})).collect();
        let good = json!({"packages": packages});
        assert!(violations(&good).unwrap().is_empty());
        packages[0]["dependencies"] = json!([{"name": "shmx", "kind": null}, {"name": "libc", "kind": null}]);
        let bad = json!({"packages": packages});
        assert_eq!(violations(&bad).unwrap(), ["shmx-abi must not depend on shmx"]);
    }

    #[test]
    fn a_stranger_is_found() {
        let on = |name: &str| json!({"name": name, "path": "/somewhere"});
        let outside = json!({"packages": [{"dependencies": [on("shmx"), on("shmx-ring"), {"name": "libc"}]}]});
        assert_eq!(strangers(&outside, &["shmx"]).unwrap(), ["must not depend on shmx-ring"]);
    }
}
