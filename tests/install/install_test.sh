#!/bin/bash
# What `make install` puts in place can be used: by pkg-config and by CMake's find_package, shared and static, from C and
# from C++, also after the tree was moved to another place. Environment: WEFT_BUILD, a release build with all targets.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${WEFT_BUILD:-build}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0
complain() { echo "install_test: $*"; bad=1; }

cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/moved"
prefix=$work/moved

for file in bin/weft lib/libweft.a lib/libweft.so lib/pkgconfig/weft.pc lib/cmake/weft/weft-config.cmake \
    include/weft/base.h share/man/man1/weft.1 share/bash-completion/completions/weft share/doc/weft/LICENSE; do
    [ -e "$prefix/$file" ] || complain "$file is not installed"
done
! grep -rIl -e "$work/first" -e "$here" "$prefix" >"$work/log" || complain "these name the build's folders: $(cat "$work/log")"
headers=$(cd "$here/../../include" && find . -name '*.h' | sort)
[ "$headers" = "$(cd "$prefix/include" && find . -name '*.h' | sort)" ] || complain "the installed headers are not those of include/"
[ "$("$prefix/bin/weft" --version | grep -c "$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion weft)")" = 1 ] ||
    complain "weft --version and pkg-config name different versions"

# try NAME SHARED PROGRAM: run it; a static one must not need libweft.so.
try()
{
    local out
    if [ "$2" = shared ]; then
        out=$(LD_LIBRARY_PATH=$prefix/lib "$3" 2>&1)
        LD_LIBRARY_PATH=$prefix/lib ldd "$3" | grep -q "$prefix/lib/libweft.so" || complain "$1 does not use the installed libweft.so"
    else
        out=$("$3" 2>&1)
        ! ldd "$3" | grep -q libweft || complain "$1 needs libweft.so"
    fi
    [ "$out" = 42 ] || complain "$1 printed: $out"
}

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
cp "$here/use.c" "$work/use.c"
cp "$here/use.c" "$work/use.cc"
for language in "gcc -std=c11 use.c" "clang-14 -std=c17 use.c" "g++ -std=c++17 use.cc" "clang++-14 -std=c++17 use.cc"; do
    read -r compiler standard source <<<"$language"
    command -v "$compiler" >/dev/null || { complain "no $compiler"; continue; }
    # shellcheck disable=SC2046
    if (cd "$work" && "$compiler" "$standard" -Wall -Wextra -Werror "$source" -o shared $(pkg-config --cflags --libs weft)); then
        try "$compiler, pkg-config, shared" shared "$work/shared"
    else
        complain "$compiler with pkg-config fails"
    fi
    # shellcheck disable=SC2046
    if (cd "$work" && "$compiler" "$standard" -Wall -Wextra -Werror "$source" -o static \
        $(pkg-config --cflags --libs --static weft | sed 's/-lweft/-l:libweft.a/')); then
        try "$compiler, pkg-config, static" static "$work/static"
    else
        complain "$compiler with pkg-config --static fails"
    fi
done

cp -r "$here" "$work/project"
if cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 &&
    cmake --build "$work/project/build" >>"$work/log" 2>&1; then
    for program in use_c_weft use_cxx_weft; do
        try "find_package, $program" shared "$work/project/build/$program"
    done
    for program in use_c_static use_cxx_static; do
        try "find_package, $program" static "$work/project/build/$program"
    done
else
    cat "$work/log"
    complain "find_package fails"
fi
exit $bad
