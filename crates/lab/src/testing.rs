//! For the tests.

use std::fs;
use std::path::PathBuf;

/// A folder that goes with this.
pub struct Place {
    pub path: PathBuf,
}

impl Place {
    /// `name`: what no other test has.
    pub fn new(name: &str) -> Self {
        let name = format!("lastref-lab-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self { path }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
