//! What valgrind cannot run can be read: in the kernels as they were compiled, nothing moves from a
//! vector or a mask into a general register or into the flags. Secrets are in vectors; so no branch and
//! no address can come of them there.

#![cfg(target_arch = "x86_64")]

use std::process::Command;

/// Begins of what the kernels' functions are called in the object file.
const KERNELS: [&str; 2] = ["4aead8chacha20", "4aead8poly1305"];
/// Instructions that set flags by what is in vectors or masks.
const TESTS: [&str; 7] = ["ptest", "vptest", "vtestp", "kortest", "ktest", "ucomis", "comis"];

/// Operands of an instruction in AT&T's order: the last is what is written.
fn operands(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

fn is_vector(operand: &str) -> bool {
    let register = operand.strip_prefix('%').unwrap_or_default();
    let mask =
        register.strip_prefix('k').is_some_and(|k| k.starts_with(|c: char| c.is_ascii_digit()));
    mask || ["xmm", "ymm", "zmm"].iter().any(|kind| register.starts_with(kind))
}

fn is_general(operand: &str) -> bool {
    operand.starts_with('%') && !is_vector(operand)
}

fn leaks(instruction: &str) -> bool {
    let (name, rest) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
    let tests = TESTS.iter().any(|test| name.trim_start_matches('v').starts_with(test));
    let operands = operands(rest.split('#').next().unwrap_or_default());
    let Some((written, read)) = operands.split_last() else { return tests };
    tests || is_general(written) && read.iter().any(|operand| is_vector(operand))
}

#[test]
fn what_leaks_is_seen() {
    for bad in
        ["kmovq  %k1,%rax", "vmovd  %xmm3,%ecx", "vpextrq $0x1,%xmm0,%rdx", "kortestw %k0,%k1"]
    {
        assert!(leaks(bad), "{bad}");
    }
    for good in ["vmovdqu64 %zmm1,(%rax,%rcx,8)", "kmovq  %rax,%k1", "add    %rax,%rcx", "ret"] {
        assert!(!leaks(good), "{good}");
    }
}

#[test]
fn no_kernel_moves_from_a_vector_to_a_general_register() {
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(exe).output();
    let Ok(output) = output else {
        println!("left out: there is no objdump");
        return;
    };
    let listing = String::from_utf8_lossy(&output.stdout);
    let (mut kernel, mut read) = ("", 0);
    for line in listing.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            kernel = if KERNELS.iter().any(|part| name.contains(part)) { name } else { "" };
        } else if let Some((_, instruction)) = line.split_once('\t').filter(|_| !kernel.is_empty())
        {
            read += 1;
            assert!(!leaks(instruction), "{kernel}: {instruction}");
        }
    }
    assert!(read > 2000, "{read} instructions of kernels");
}
