/// What people leave beside a scenario when they build it by hand. Also the build script reads this.
const NOT_SOURCES: [&str; 3] = ["target", "program", ".git"];
