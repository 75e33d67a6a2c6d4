//! The binary: everything is in the library.

fn main() -> seccomp_run::exit::Exit {
    seccomp_run::cli::main()
}
