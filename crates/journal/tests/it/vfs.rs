//! A file system under SQLite that remembers every write and every sync of the directories it is asked to watch, and that fails when it is
//! told to. It stands before the real one; files of other directories pass through.

#![expect(unsafe_code, reason = "SQLite takes a file system as a table of C functions")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

/// Something that was done to a file.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write {
        file: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        size: u64,
    },
    Sync {
        file: String,
    },
    Delete {
        file: String,
        durable: bool,
    },
    /// A note of the test's own.
    Mark(u64),
}

/// What is to fail, from now on or once.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The end of the file's name.
    pub(crate) file: &'static str,
    pub(crate) what: What,
    pub(crate) code: c_int,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Write,
    Sync,
}

/// What is known of a directory.
#[derive(Default)]
pub(crate) struct Watch {
    ops: Mutex<Vec<Op>>,
    fault: Mutex<Option<Fault>>,
}

impl Watch {
    /// Watches a directory from now on.
    pub(crate) fn over(folder: &Path) -> Arc<Watch> {
        register();
        let watch = Arc::new(Watch::default());
        watched().lock().unwrap().push((folder.to_owned(), watch.clone()));
        watch
    }

    pub(crate) fn mark(&self, number: u64) {
        self.ops.lock().unwrap().push(Op::Mark(number));
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.ops.lock().unwrap().clone()
    }

    /// Lets the next such operation fail.
    pub(crate) fn fail_once(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// Whether a failure that was ordered has not come yet.
    pub(crate) fn is_armed(&self) -> bool {
        self.fault.lock().unwrap().is_some()
    }

    fn failure(&self, file: &str, what: What) -> Option<c_int> {
        let mut fault = self.fault.lock().unwrap();
        let hit = fault.as_ref().is_some_and(|fault| fault.what == what && file.ends_with(fault.file));
        if hit { fault.take().map(|fault| fault.code) } else { None }
    }
}

fn watched() -> &'static Mutex<Vec<(PathBuf, Arc<Watch>)>> {
    static WATCHED: OnceLock<Mutex<Vec<(PathBuf, Arc<Watch>)>>> = OnceLock::new();
    WATCHED.get_or_init(Mutex::default)
}

fn watch_of(path: &CStr) -> Option<Hook> {
    let path = Path::new(path.to_str().ok()?);
    let folder = path.parent()?;
    let watched = watched().lock().unwrap();
    let (_, watch) = watched.iter().find(|(of, _)| of == folder)?;
    Some(Hook { watch: watch.clone(), file: path.file_name()?.to_str()?.to_owned() })
}

struct Hook {
    watch: Arc<Watch>,
    file: String,
}

/// Our part of an open file; the real one's lies behind it in the same piece of memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    hook: *mut Hook,
}

const OURS: usize = size_of::<File>().next_multiple_of(16);

struct Table<T>(T);
// SAFETY: the tables are filled once and only read after.
unsafe impl<T> Sync for Table<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Table<T> {}

fn register() {
    static VFS: OnceLock<Table<*mut sqlite3_vfs>> = OnceLock::new();
    VFS.get_or_init(|| {
        // SAFETY: the real file system is found and copied; the copy lives for ever, and only functions that ignore which table they are
        // called through are left as they are.
        unsafe {
            ffi::sqlite3_initialize();
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null());
            let mut ours = *real;
            ours.szOsFile += OURS as c_int;
            ours.pNext = std::ptr::null_mut();
            ours.zName = c"watching".as_ptr();
            ours.pAppData = real.cast();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            let ours = Box::into_raw(Box::new(ours));
            assert_eq!(ffi::sqlite3_vfs_register(ours, 1), ffi::SQLITE_OK);
            Table(ours)
        }
    });
}

static METHODS: Table<sqlite3_io_methods> = Table(sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
});

unsafe fn real_of(vfs: *mut sqlite3_vfs) -> *mut sqlite3_vfs {
    unsafe { (*vfs).pAppData.cast() }
}

unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    unsafe { file.byte_add(OURS) }
}

unsafe fn hook<'f>(file: *mut sqlite3_file) -> Option<&'f Hook> {
    unsafe { (*file.cast::<File>()).hook.as_ref() }
}

/// Calls a function of the real file.
macro_rules! forward {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real($file);
        match (*(*real).pMethods).$method {
            Some(method) => method(real $(, $argument)*),
            None => ffi::SQLITE_NOTFOUND,
        }
    }};
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let (vfs, ours) = (real_of(vfs), file.cast::<File>());
        (*ours).base.pMethods = std::ptr::null();
        (*ours).hook = std::ptr::null_mut();
        let code = match (*vfs).xOpen {
            Some(open) => open(vfs, name, real(file), flags, out),
            None => ffi::SQLITE_CANTOPEN,
        };
        if (*real(file)).pMethods.is_null() {
            return code;
        }
        (*ours).base.pMethods = &METHODS.0;
        if !name.is_null()
            && let Some(hook) = watch_of(CStr::from_ptr(name))
        {
            (*ours).hook = Box::into_raw(Box::new(hook));
        }
        code
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, durable: c_int) -> c_int {
    unsafe {
        let real = real_of(vfs);
        let code = (*real).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(real, name, durable));
        if let Some(Hook { watch, file }) = watch_of(CStr::from_ptr(name)) {
            watch.ops.lock().unwrap().push(Op::Delete { file, durable: durable != 0 });
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    unsafe {
        let ours = file.cast::<File>();
        if !(*ours).hook.is_null() {
            drop(Box::from_raw((*ours).hook));
            (*ours).hook = std::ptr::null_mut();
        }
        forward!(file, xClose)
    }
}

unsafe extern "C" fn read(file: *mut sqlite3_file, to: *mut c_void, count: c_int, offset: sqlite3_int64) -> c_int {
    unsafe { forward!(file, xRead, to, count, offset) }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, offset: sqlite3_int64) -> c_int {
    unsafe {
        if let Some(Hook { watch, file: name }) = hook(file) {
            if let Some(code) = watch.failure(name, What::Write) {
                return code;
            }
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), count as usize).to_vec();
            watch.ops.lock().unwrap().push(Op::Write { file: name.clone(), offset: offset as u64, bytes });
        }
        forward!(file, xWrite, from, count, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    unsafe {
        if let Some(Hook { watch, file: name }) = hook(file) {
            watch.ops.lock().unwrap().push(Op::Truncate { file: name.clone(), size: size as u64 });
        }
        forward!(file, xTruncate, size)
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        if let Some(Hook { watch, file: name }) = hook(file) {
            if let Some(code) = watch.failure(name, What::Sync) {
                return code;
            }
            watch.ops.lock().unwrap().push(Op::Sync { file: name.clone() });
            // The images are made from what was remembered; the real disk need not turn.
            return ffi::SQLITE_OK;
        }
        forward!(file, xSync, flags)
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    unsafe { forward!(file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    unsafe { forward!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    unsafe { forward!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    unsafe { forward!(file, xCheckReservedLock, out) }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    unsafe { forward!(file, xFileControl, what, argument) }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    unsafe { forward!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    unsafe { forward!(file, xDeviceCharacteristics) }
}

unsafe extern "C" fn shm_map(file: *mut sqlite3_file, page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int {
    unsafe { forward!(file, xShmMap, page, size, extend, out) }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    unsafe { forward!(file, xShmLock, offset, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    unsafe {
        let real = real(file);
        if let Some(method) = (*(*real).pMethods).xShmBarrier {
            method(real);
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    unsafe { forward!(file, xShmUnmap, delete) }
}
