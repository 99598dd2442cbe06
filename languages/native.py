"""Languages that are compiled to machine code, and similar ones."""

from languages.language import ARTIFACT_FOLDER, GNU_ERROR, MIB, PROGRAM, SCRATCH, Language

ROWS = (
    Language(
        key="assembly",
        name="Assembly",
        aliases=("asm", "gas"),
        file_name="main.s",
        suffixes=(".s", ".S"),
        version_argv=("as", "--version"),
        compile=("gcc", "-g", "-no-pie", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): Error",
        hello="""\
# x86-64, with the C library for printing.
        .intel_syntax noprefix
        .globl  main

        .data
names:  .quad   ada, grace, linus
ada:    .asciz  "Ada"
grace:  .asciz  "Grace"
linus:  .asciz  "Linus"
format: .asciz  "Hello, %s!\\n"

        .text
main:   push    rbx
        xor     ebx, ebx
next:   lea     rdi, format
        mov     rsi, names[rbx * 8]
        xor     eax, eax
        call    printf
        inc     ebx
        cmp     ebx, 3
        jl      next
        xor     eax, eax
        pop     rbx
        ret

        .section .note.GNU-stack, "", @progbits
""",
    ),
    Language(
        key="fortran",
        name="Fortran",
        aliases=("f90", "f95"),
        family="gnu",
        file_name="main.f90",
        suffixes=(".f90", ".f95", ".f03", ".f08"),
        version_argv=("gfortran", "--version"),
        compile=("gfortran", "-g", "-O1", "-Wall", "-J", SCRATCH, "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+:",
        hello="""\
program main
  implicit none
  character(len=5) :: names(3) = ["Ada  ", "Grace", "Linus"]
  integer :: i

  do i = 1, size(names)
    print "(3a)", "Hello, ", trim(names(i)), "!"
  end do
end program main
""",
    ),
    Language(
        key="ada",
        name="Ada",
        family="gnu",
        file_name="main.adb",
        suffixes=(".adb",),
        version_argv=("gnatmake", "--version"),
        compile=("gnatmake", "-q", "-g", "-O1", "-D", SCRATCH, "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: error",
        hello="""\
with Ada.Text_IO; use Ada.Text_IO;

procedure Main is
   procedure Greet (Name : String) is
   begin
      Put_Line ("Hello, " & Name & "!");
   end Greet;
begin
   Greet ("Ada");
   Greet ("Grace");
   Greet ("Linus");
end Main;
""",
    ),
    Language(
        key="d",
        name="D",
        aliases=("dlang",),
        family="gnu",
        file_name="main.d",
        suffixes=(".d",),
        version_argv=("gdc", "--version"),
        compile=("gdc", "-g", "-Wall", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        error_line=GNU_ERROR,
        hello="""\
import std.stdio;

void main()
{
    foreach (name; ["Ada", "Grace", "Linus"])
        writefln("Hello, %s!", name);
}
""",
    ),
    Language(
        key="objectivec",
        name="Objective-C",
        aliases=("objective-c", "objc"),
        family="gnu",
        file_name="main.m",
        suffixes=(".m",),
        version_argv=("gcc", "-v", "-x", "objective-c", "-fsyntax-only", "/dev/null"),
        # The language with GCC's runtime, without Foundation.
        compile=("gcc", "-x", "objective-c", "-std=gnu17", "-g", "-O1", "-Wall", "-o", PROGRAM, "{sources}", "-lobjc"),
        run=(PROGRAM,),
        error_line=GNU_ERROR,
        hello="""\
#import <objc/Object.h>
#include <stdio.h>

@interface Greeter : Object
+ (void)greet:(const char *)name;
@end

@implementation Greeter
+ (void)greet:(const char *)name {
    printf("Hello, %s!\\n", name);
}
@end

int main(void) {
    const char *names[] = {"Ada", "Grace", "Linus"};
    for (int i = 0; i < 3; i++) {
        [Greeter greet:names[i]];
    }
    return 0;
}
""",
    ),
    Language(
        key="cobol",
        name="COBOL",
        family="gnu",
        file_name="main.cob",
        suffixes=(".cob", ".cbl"),
        version_argv=("cobc", "--version"),
        compile=("cobc", "-x", "-free", "-o", PROGRAM, "{sources}"),
        run=(PROGRAM,),
        error_line=GNU_ERROR,
        hello="""\
identification division.
program-id. greetings.

data division.
working-storage section.
01 people value "Ada  GraceLinus".
   05 person pic x(5) occurs 3.
01 i pic 9.

procedure division.
    perform varying i from 1 by 1 until i > 3
        display "Hello, " function trim(person(i)) "!"
    end-perform
    stop run.
""",
    ),
    Language(
        key="pascal",
        name="Pascal",
        aliases=("fpc",),
        family="native",
        file_name="main.pas",
        suffixes=(".pas", ".pp"),
        version_argv=("fpc", "-iV"),
        compile=("fpc", "-v0ew", "-l-", "-gl", "-O1", f"-FU{SCRATCH}", f"-o{PROGRAM}", "{entry}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s(]+)\((?P<line>\d+),\d+\) (?:Error|Fatal)",
        hello="""\
program Greetings;

const
  Names: array[1..3] of string = ('Ada', 'Grace', 'Linus');

var
  Name: string;

begin
  for Name in Names do
    WriteLn('Hello, ', Name, '!');
end.
""",
    ),
    Language(
        key="nim",
        name="Nim",
        family="native",
        file_name="main.nim",
        suffixes=(".nim",),
        version_argv=("nim", "--version"),
        compile=(
            "nim",
            "compile",
            "--verbosity:0",
            "--hints:off",
            "--colors:off",
            "--skipCfg:off",
            "--opt:none",
            "--nimcache:/work/.cache",
            f"--out:{PROGRAM}",
            "{entry}",
        ),
        run=(PROGRAM,),
        error_line=r"^(?:/work/)?(?P<file>[^\s(]+)\((?P<line>\d+), \d+\) Error",
        hello="""\
for name in ["Ada", "Grace", "Linus"]:
  echo "Hello, ", name, "!"
""",
    ),
    Language(
        key="crystal",
        name="Crystal",
        aliases=("cr",),
        family="native",
        file_name="main.cr",
        suffixes=(".cr",),
        version_argv=("crystal", "--version"),
        compile=("crystal", "build", "--no-color", "--threads", "1", "-o", PROGRAM, "{entry}"),
        run=(PROGRAM,),
        compile_environment={"CRYSTAL_CACHE_DIR": "/work/.cache"},
        compile_limits={"memory_bytes": 1024 * MIB, "disk_bytes": 384 * MIB, "wall_ms": 60_000},
        error_line=r"^(?:In|Showing last frame.*in|.* in) (?P<file>[^\s:]+):(?P<line>\d+)",
        hello="""\
%w[Ada Grace Linus].each do |name|
  puts "Hello, #{name}!"
end
""",
    ),
    Language(
        key="vala",
        name="Vala",
        family="native",
        file_name="main.vala",
        suffixes=(".vala",),
        version_argv=("valac", "--version"),
        compile=("valac", "--quiet", "-g", "-X", "-w", "-d", ARTIFACT_FOLDER, "-o", "program", "{sources}"),
        run=(PROGRAM,),
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+)\.\d+-[\d.]+: error",
        hello="""\
void main () {
    string[] names = { "Ada", "Grace", "Linus" };

    foreach (var name in names) {
        print ("Hello, %s!\\n", name);
    }
}
""",
    ),
    Language(
        key="verilog",
        name="Verilog",
        aliases=("iverilog", "systemverilog"),
        family="native",
        file_name="main.v",
        suffixes=(".v", ".sv"),
        version_argv=("iverilog", "-V"),
        compile=("iverilog", "-g2012", "-Wall", "-o", PROGRAM, "{sources}"),
        run=("vvp", "-n", PROGRAM),
        exits=False,
        error_line=r"^(?P<file>[^\s:]+):(?P<line>\d+): (?:syntax )?error",
        hello="""\
module main;
  task greet(input string name);
    $display("Hello, %s!", name);
  endtask

  initial begin
    greet("Ada");
    greet("Grace");
    greet("Linus");
    $finish(0);
  end
endmodule
""",
    ),
    Language(
        key="llvm",
        name="LLVM IR",
        aliases=("llvm-ir", "ll"),
        family="llvm",
        file_name="main.ll",
        suffixes=(".ll",),
        version_argv=("lli", "--version"),
        run=("lli", "{entry}"),
        error_line=r"^lli: (?:lli: )?(?P<file>[^\s:]+):(?P<line>\d+):\d+: error",
        hello="""\
@format = constant [12 x i8] c"Hello, %s!\\0A\\00"
@ada = constant [4 x i8] c"Ada\\00"
@grace = constant [6 x i8] c"Grace\\00"
@linus = constant [6 x i8] c"Linus\\00"

declare i32 @printf(i8*, ...)

define void @greet(i8* %name) {
  %text = bitcast [12 x i8]* @format to i8*
  call i32 (i8*, ...) @printf(i8* %text, i8* %name)
  ret void
}

define i32 @main() {
  call void @greet(i8* bitcast ([4 x i8]* @ada to i8*))
  call void @greet(i8* bitcast ([6 x i8]* @grace to i8*))
  call void @greet(i8* bitcast ([6 x i8]* @linus to i8*))
  ret i32 0
}
""",
    ),
)
