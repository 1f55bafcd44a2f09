//! The versions that this program is built of, as `Cargo.lock` has them.

/// A package's name and version. Of two versions the later is ours: the other is a dependency's.
pub(crate) fn version(package: &str) -> String {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines();
    let mut found = "?";
    while lines.any(|line| line == name) {
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix("version = "));
        found = version.map_or(found, |version| version.trim_matches('"'));
    }
    format!("{package} {found}")
}

const LOCK: &str = include_str!("../../Cargo.lock");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_a_version() {
        for package in ["mio", "sockeye", "tokio-tungstenite"] {
            let version = version(package);
            assert!(version.split('.').count() == 3, "{version}");
        }
    }
}
