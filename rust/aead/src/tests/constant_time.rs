//! Secrets decide neither a branch nor an address. Under valgrind's memcheck, memory that is said to
//! be undefined is followed bit by bit, and a branch or an address that depends on it is an error: so
//! keys and plaintexts are said to be that (as A. Langley's ctgrind does).
//!
//! valgrind has no AVX-512 and its processor does not claim it: what is checked is AVX2's code and all
//! that is shared. What the AVX-512 kernels were compiled to is read in [`super::registers`].

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code, reason = "a request to valgrind is a sequence of instructions")]

use std::arch::asm;
use std::process::Command;

use super::vectored;
use crate::cipher::{check_groups, decrypt_groups, seal_groups};
use crate::message::Message;

/// Requests of valgrind and memcheck, as its manual numbers them.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Request {
    RunningOnValgrind = 0x1001,
    MakeUndefined = 0x4d43_0001,
    MakeDefined = 0x4d43_0002,
    CountErrors = 0x1201,
}

/// Returns 0 where there is no valgrind: there these instructions do nothing.
fn request(request: Request, address: usize, len: usize) -> u64 {
    let arguments = [request as u64, address as u64, len as u64, 0, 0, 0];
    let mut result = 0_u64;
    // SAFETY: four rotations that add up to 128 bits and an exchange of a register with itself change
    // nothing. valgrind takes them for a request: it reads `arguments` and writes `result`, and the two
    // requests that have an effect change what it knows of memory, not the memory.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") result,
            inout("rdi") 0_u64 => _,
        );
    }
    result
}

fn make_undefined<T>(secret: &mut [T]) {
    request(Request::MakeUndefined, secret.as_ptr().addr(), size_of_val(secret));
}

fn make_defined<T>(public: &mut [T]) {
    request(Request::MakeDefined, public.as_ptr().addr(), size_of_val(public));
}

fn errors() -> u64 {
    request(Request::CountErrors, 0, 0)
}

fn batch(lengths: &[usize]) -> (Vec<u8>, Vec<Message>) {
    let (mut messages, mut end) = (Vec::new(), 0);
    for (counter, len) in (1..).zip(lengths) {
        let start = end + 3;
        end = start + len + 16;
        messages.push(Message { start, end, counter, authentic: false });
    }
    (vec![7; end], messages)
}

/// What runs under valgrind.
#[test]
#[ignore = "run by the next one, under valgrind"]
fn under_valgrind() {
    assert_ne!(request(Request::RunningOnValgrind, 0, 0), 0, "valgrind runs this");
    let mut key = [5; 32];
    make_undefined(&mut key);
    for with in vectored() {
        for lengths in [&[0, 1, 15, 16, 17, 63, 64, 65][..], &[1280; 9], &[300, 1420, 20]] {
            let (mut buffer, mut messages) = batch(lengths);
            make_undefined(&mut buffer);
            seal_groups(with, &key, &mut buffer, &messages);
            assert_eq!(errors(), 0, "sealing, {with:?}");
            // Ciphertext and tags are public now. One of them is changed on its way.
            make_defined(&mut buffer);
            buffer[messages[1].start] ^= 1;
            check_groups(with, &key, &buffer, &mut messages);
            assert_eq!(errors(), 0, "comparing tags, {with:?}");
            // So is what became of each: the caller is told. Nothing else is.
            for message in &mut messages {
                make_defined(std::slice::from_mut(&mut message.authentic));
            }
            decrypt_groups(with, &key, &mut buffer, &messages);
            assert_eq!(errors(), 0, "decrypting, {with:?}");
            make_defined(&mut buffer);
            assert!(messages.iter().enumerate().all(|(i, message)| message.authentic == (i != 1)));
        }
    }
    // This would not prove anything if a branch on a secret were not noticed.
    if std::hint::black_box(&key)[0] == 5 {
        std::hint::black_box(&key);
    }
    assert_ne!(errors(), 0, "a branch on a secret is an error");
    println!("secrets were followed");
}

#[test]
fn secrets_decide_no_branch_and_no_address() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("left out: there is no valgrind");
        return;
    }
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=memcheck", "--leak-check=no"])
        .arg(std::env::current_exe().unwrap())
        .args(["tests::constant_time::under_valgrind", "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("secrets were followed"), "{said}\n{errors}");
}
