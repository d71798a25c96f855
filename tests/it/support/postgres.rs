//! A real PostgreSQL server, started from the installed binaries on a socket in a folder of its own.
//!
//! It listens on no port unless a test of TCP asks for it, runs as an ordinary user even where tests run
//! as root, and ends with the test program, however that ends.

use super::authority::Identity;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

const NOBODY: u32 = 65_534;
const PREFIX: &str = "bench-pg-";

/// A server with its data.
pub(crate) struct Postgres {
    folder: PathBuf,
    binaries: PathBuf,
    /// Whether this program is root, as which no server may run.
    is_root: bool,
    /// Names the socket; a port of TCP only for one that listens.
    port: u16,
    listens: bool,
    pid: std::sync::Mutex<u32>,
}

/// The folder with `initdb` and `postgres`, of the newest version that is installed.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Path::new("/usr/lib/postgresql")
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .collect();
    found.sort();
    found.extend(std::env::split_paths(&path));
    found
        .into_iter()
        .rfind(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// The shared server lives as long as the program, so its folder stays: the next program removes it.
fn sweep() {
    for entry in Path::new("/tmp").read_dir().unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another program may be faster.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The server that all tests share, each with a database of its own; `None`, with a word about it, where
/// PostgreSQL is not installed.
pub(crate) fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).as_ref()
}

impl Postgres {
    /// A server of one's own, for whoever breaks it.
    pub(crate) fn start() -> Option<Self> {
        let server = Self::prepare()?;
        server.run();
        Some(server)
    }

    /// A server that listens on a free port of the loopback address, with TLS if it has a certificate.
    pub(crate) fn listening(identity: Option<&Identity>) -> Option<Self> {
        let mut server = Self::prepare()?;
        server.listens = true;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        server.port = free.local_addr().unwrap().port();
        drop(free);
        if let Some(identity) = identity {
            server.keep("server.crt", &identity.certificate.pem());
            server.keep("server.key", &identity.key.serialize_pem());
        }
        server.run();
        Some(server)
    }

    /// Writes a file that only the server may read.
    fn keep(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if self.is_root {
            std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Everything but the start.
    fn prepare() -> Option<Self> {
        let Some(binaries) = binaries() else {
            #[expect(
                clippy::print_stderr,
                reason = "nobody shall think that this was tested"
            )]
            let () = eprintln!(
                "SKIPPED: no PostgreSQL server is installed (neither initdb on PATH nor below \
                 /usr/lib/postgresql); Debian's package `postgresql` has it"
            );
            return None;
        };
        sweep();
        // Long paths do not fit into the address of a socket.
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        let is_root = folder.metadata().unwrap().uid() == 0;
        if is_root {
            std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self {
            folder,
            binaries,
            is_root,
            port: 5432,
            listens: false,
            pid: std::sync::Mutex::new(0),
        };
        let made = server
            .program("initdb")
            .args([
                "--username=bench",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "--pgdata"])
            .arg(server.folder.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        Some(server)
    }

    /// One of its programs as an ordinary user, which the kernel ends with this test program.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if self.is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command
            .arg(self.binaries.join(name))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn run(&self) {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-c", "max_connections=60"])
            .args(["-c", "fsync=off", "-c", "shared_buffers=32MB"])
            .args([
                "-c",
                if self.listens {
                    "listen_addresses=127.0.0.1"
                } else {
                    "listen_addresses="
                },
            ])
            .stderr(std::fs::File::create(self.folder.join("log")).unwrap());
        if self.folder.join("server.crt").exists() {
            for (name, file) in [
                ("ssl_cert_file", "server.crt"),
                ("ssl_key_file", "server.key"),
            ] {
                let path = self.folder.join(file);
                command.args(["-c", &format!("{name}={}", path.display())]);
            }
            command.args(["-c", "ssl=on"]);
        }
        let (tell, told) = std::sync::mpsc::channel();
        // The kernel watches the thread that started the server, so that one must not end.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            tell.send(child.id()).unwrap();
            let _ = child.wait();
            loop {
                std::thread::park();
            }
        });
        *self.pid.lock().unwrap() = told.recv().unwrap();
        for _ in 0..600 {
            if runtime().block_on(self.try_connect("postgres")).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap();
        panic!("the server does not answer within 30 s:\n{log}");
    }

    /// Kills the server as a power failure would.
    pub(crate) fn kill(&self) {
        let pid = self.pid.lock().unwrap().to_string();
        let status = Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        assert!(status.success());
        // Its children notice and go; a new server waits for them.
        let gone = |path: &Path| !path.exists();
        let process = PathBuf::from(format!("/proc/{pid}"));
        for _ in 0..600 {
            if gone(&process) && runtime().block_on(self.try_connect("postgres")).is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server is still there");
    }

    /// The URL of a new, empty database.
    pub(crate) fn database(&self) -> Database {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("d{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Database {
            folder: self.folder.clone(),
            port: self.port,
            name,
        };
        runtime().block_on(async {
            let client = self.try_connect("postgres").await.unwrap();
            let create = format!("create database {}", database.name);
            client.batch_execute(&create).await.unwrap();
        });
        database
    }

    async fn try_connect(&self, database: &str) -> Option<Client> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.folder)
            .port(self.port)
            .user("bench")
            .dbname(database)
            .connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await.ok()?;
        tokio::spawn(connection);
        client.batch_execute("select 1").await.ok()?;
        Some(client)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = self.pid.lock().unwrap().to_string();
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A database of a test.
pub(crate) struct Database {
    folder: PathBuf,
    port: u16,
    name: String,
}

impl Database {
    /// Its URL for its owner.
    pub(crate) fn url(&self) -> String {
        self.url_for("bench")
    }

    /// Its URL for somebody else.
    pub(crate) fn url_for(&self, user: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://{user}@{folder}:{}/{}", self.port, self.name)
    }

    /// Its URL over TCP, for its owner, under a name of this host.
    pub(crate) fn tcp_url(&self, host: &str, query: &str) -> String {
        format!(
            "postgresql://bench@{host}:{}/{}?{query}",
            self.port, self.name
        )
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements as its owner.
    pub(crate) fn run(&self, sql: &str) {
        self.try_as("bench", sql).unwrap();
    }

    /// Runs statements as somebody; the error is that of the server.
    pub(crate) fn try_as(&self, user: &str, sql: &str) -> Result<(), String> {
        runtime().block_on(async {
            let client = self.client(user).await;
            client.batch_execute(sql).await.map_err(|error| {
                error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), |error| error.message().to_owned())
            })
        })
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        runtime().block_on(async {
            let client = self.client("bench").await;
            client.query_one(sql, &[]).await.unwrap().get(0)
        })
    }

    pub(crate) async fn client(&self, user: &str) -> Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.folder)
            .port(self.port)
            .user(user)
            .dbname(&self.name);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}
