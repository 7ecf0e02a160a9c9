//! What the developers of lastref need beside cargo: kernels, machines that boot them, the matrix
//! of tests on them, and checks of the sources.

mod apt;
mod batch;
mod command;
mod cpio;
mod docs;
mod go_layouts;
mod guest;
mod initramfs;
mod kernel_log;
mod kernels;
mod lint;
mod matrix;
mod modules;
mod parts;
mod plan;
mod report;
mod selftest;
mod single;
mod stream;
mod suite;
mod testrun;
mod vm;
mod wild;
mod wild_report;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch the kernels of the matrix, or those named, and say which they are
    Kernels {
        /// A line (6.12), "newest", or the path of a vmlinuz
        kernels: Vec<String>,
    },
    /// Run a program of the host in a machine; exits with its status
    Vm {
        /// A line (6.12), "newest", or the path of a vmlinuz
        #[arg(long, default_value = "newest")]
        kernel: String,
        /// Keep the initramfs and the kernel's log
        #[arg(long)]
        keep: bool,
        /// Pack this file, folder or program too; may be repeated
        #[arg(long = "file", value_name = "PATH")]
        files: Vec<PathBuf>,
        /// Set a variable in the program's environment; may be repeated
        #[arg(long, value_name = "NAME=VALUE")]
        env: Vec<String>,
        /// Kill the program after so many seconds
        #[arg(long, default_value_t = 600)]
        timeout: u64,
        /// A path, or the name of a program of this workspace, and its arguments
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
    /// Run the tests from outside on every kernel of the matrix
    TestKernels {
        /// Only on this kernel; may be repeated
        #[arg(long = "kernel")]
        kernels: Vec<String>,
        /// Run the tests of this package instead; may be repeated
        #[arg(long = "package", short)]
        packages: Vec<String>,
        /// Only every so-many-th test, the same ones each time: a quick look
        #[arg(long, default_value_t = 1)]
        every: usize,
        /// End a test that wrote nothing for so many seconds
        #[arg(long, default_value_t = 240)]
        timeout: u64,
        /// Take the result of an earlier clean run of the same files
        #[arg(long)]
        reuse: bool,
        /// So many machines at a time; by default as many as there are processors, up to 4
        #[arg(long)]
        machines: Option<usize>,
        /// Only tests whose full name, `suite::name`, contains this
        filter: Option<String>,
    },
    /// Prove that the harness tells failures of every kind
    SelfTest {
        /// On this kernel
        #[arg(long, default_value = "newest")]
        kernel: String,
    },
    /// Read the layouts of Go's runtime anew, from a program built with each release
    GoLayouts {
        /// Only of this release (1.26.8), which then replaces its line; may be repeated
        releases: Vec<String>,
    },
    /// Run a watch around libbpf-tools and bpftrace, which do not leak, and fail if it says they do
    Wild {
        /// On this kernel
        #[arg(long, default_value = "6.12")]
        kernel: String,
        /// So long, once all have started; more than the watch's window
        #[arg(long, default_value_t = 180)]
        seconds: u64,
        /// Without bpftrace
        #[arg(long)]
        only_libbpf_tools: bool,
    },
    /// Make the pages of the documentation that come from doc comments
    Docs,
    /// Check that no file is too long, none names a path of one machine, and `docs` has been run
    Lint,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(task: Task) -> Result<u8> {
    let workspace = Workspace::find()?;
    match task {
        Task::Kernels { kernels } => {
            let (kernels, left_out) = kernels::all(&kernels, &workspace.kernel_cache())?;
            for kernel in kernels {
                println!("{}  {}", kernel.version, kernel.image.display());
            }
            for kernels::LeftOut { line, why } in left_out {
                println!("{line}  left out: {why}");
            }
            Ok(0)
        }
        Task::Vm {
            kernel,
            keep,
            files,
            env,
            timeout,
            program,
        } => single::run(
            &workspace,
            &single::Request {
                kernel,
                keep,
                files,
                env,
                timeout: Duration::from_secs(timeout),
                argv: program,
            },
        ),
        Task::TestKernels {
            kernels,
            packages,
            every,
            timeout,
            reuse,
            machines,
            filter,
        } => {
            let clean = matrix::run(
                &workspace,
                &matrix::Request {
                    kernels,
                    packages,
                    filter,
                    every,
                    silence: Duration::from_secs(timeout),
                    reuse,
                    machines: machines.unwrap_or_else(|| {
                        std::thread::available_parallelism().map_or(1, |n| n.get().min(4))
                    }),
                },
            )?;
            Ok(u8::from(!clean))
        }
        Task::SelfTest { kernel } => {
            let kernel = kernels::get(&kernel, &workspace.kernel_cache())?;
            selftest::run(&workspace, &workspace.build_init(None)?, &kernel)?;
            Ok(0)
        }
        Task::GoLayouts { releases } => go_layouts::run(&workspace.root, &releases).map(|()| 0),
        Task::Wild {
            kernel,
            seconds,
            only_libbpf_tools,
        } => {
            let clean = wild::run(
                &workspace,
                &wild::Request {
                    kernel,
                    seconds,
                    only_libbpf_tools,
                },
            )?;
            Ok(u8::from(!clean))
        }
        Task::Docs => docs::run(&workspace.root).map(|()| 0),
        Task::Lint => lint::run(&workspace.root).map(|()| 0),
    }
}
