# Debian's cross compiler, and qemu-user to run what it makes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
# The host's pkg-config would answer for the host: the optional libraries are left out of the cross build.
set(WEFT_LIBURING OFF CACHE BOOL "")
set(WEFT_ZLIB OFF CACHE BOOL "")
set(WEFT_OPENSSL OFF CACHE BOOL "")
set(WEFT_LIBDW OFF CACHE BOOL "")
