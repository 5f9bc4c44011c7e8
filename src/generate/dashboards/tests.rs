use super::*;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// With `UPDATE_GENERATED=1` this writes the files.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn the_committed_files_are_what_is_generated() {
    let update = std::env::vars_os().any(|(name, _)| name == "UPDATE_GENERATED");
    for board in Board::ALL {
        let path = folder().join(board.file_name());
        let want = board.file();
        if update {
            std::fs::write(&path, want).unwrap();
        } else {
            let is = std::fs::read_to_string(&path).unwrap();
            assert!(
                is == want,
                "{}: run `UPDATE_GENERATED=1 cargo test --lib generate`",
                path.display()
            );
        }
    }
    let files = std::fs::read_dir(folder()).unwrap();
    assert_eq!(
        files.count(),
        Board::ALL.len(),
        "a dashboard that nobody writes"
    );
}
