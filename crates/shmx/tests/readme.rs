//! The examples of the project's README are the programs in `examples`, letter by letter.

use std::path::Path;

#[test]
fn the_readme_shows_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A package has no project around it.
    let Ok(readme) = std::fs::read_to_string(root.join("../../README.md")) else { return };
    for name in ["producer", "reader"] {
        let program = std::fs::read_to_string(root.join(format!("examples/{name}.rs"))).unwrap();
        assert!(readme.contains(&format!("```rust\n{program}```\n")), "README does not show examples/{name}.rs");
    }
}
