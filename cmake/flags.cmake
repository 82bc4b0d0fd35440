# Compiler and linker flags of everything we build.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

# A mistake of ours stops the program in every build: no NDEBUG.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_library(nx_flags INTERFACE)
target_compile_definitions(nx_flags INTERFACE _GNU_SOURCE NX_VERSION="${PROJECT_VERSION}")
target_include_directories(nx_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
target_compile_options(nx_flags INTERFACE
    -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
    -Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wcast-align -fno-strict-aliasing
    -fno-strict-overflow -ffp-contract=off -fno-delete-null-pointer-checks -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
target_link_options(nx_flags INTERFACE -Wl,--gc-sections -Wl,--as-needed)
if(NX_WERROR)
    target_compile_options(nx_flags INTERFACE -Werror)
endif()

if(CMAKE_C_COMPILER_ID MATCHES Clang)
    target_compile_options(nx_flags INTERFACE -Wno-implicit-fallthrough) # uthash's macros
endif()
if(NX_FUZZ)
    target_compile_options(nx_flags INTERFACE -fsanitize=fuzzer-no-link) # else libFuzzer is blind inside the modules
endif()

if(NX_SANITIZE STREQUAL "address")
    target_compile_options(nx_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(nx_flags INTERFACE -fsanitize=address,undefined)
elseif(NX_SANITIZE STREQUAL "thread")
    target_compile_options(nx_flags INTERFACE -fsanitize=thread)
    target_link_options(nx_flags INTERFACE -fsanitize=thread)
endif()

# OpenSSF compiler hardening guide; each flag only where this compiler knows it.
if(NX_HARDEN)
    foreach(flag -fstack-clash-protection -fstack-protector-strong -fcf-protection=full -ftrivial-auto-var-init=zero
            -Wtrampolines -Wbidi-chars=any -fstrict-flex-arrays=3 -fzero-init-padding-bits=all)
        string(MAKE_C_IDENTIFIER "NX_HAS${flag}" has)
        check_c_compiler_flag(${flag} ${has})
        if(${has})
            target_compile_options(nx_flags INTERFACE ${flag})
        endif()
    endforeach()
    target_compile_options(nx_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    target_link_options(nx_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodlopen)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
