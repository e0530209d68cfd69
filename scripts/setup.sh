#!/usr/bin/env bash
# Installs every Debian package that Rotor needs, as root or through sudo. What is there already is left alone.
#
#   scripts/setup.sh                  build, train and test
#   scripts/setup.sh --runtime-only   an edge machine: build rotor and rotor-export, no LibTorch
#   scripts/setup.sh --list           print the packages and what they are for; install nothing
set -euo pipefail

# package | needed with --runtime-only | what for | how it is usually called elsewhere | what shows that it is there
packages() {
  cat <<'LIST'
g++|yes|C++20 compiler (12 or newer)|gcc-c++ or gcc|command g++
cmake|yes|build (3.25 or newer)|cmake|command cmake
ninja-build|yes|build|ninja|command ninja
libxxhash-dev|yes|checksums in .rotor files|xxhash-devel or xxhash|header xxhash.h
zlib1g-dev|yes|compressed data sets|zlib-devel or zlib|header zlib.h
nlohmann-json3-dev|yes|JSON|json-devel or nlohmann-json|header nlohmann/json.hpp
pkg-config|yes|build: finds libraries|pkgconf|command pkg-config
libsentencepiece-dev|yes|SentencePiece tokenizers|sentencepiece-devel or sentencepiece|header sentencepiece_processor.h
libpcre2-dev|yes|split patterns of byte-level BPE|pcre2-devel or pcre2|header pcre2.h
libutf8proc-dev|yes|Unicode normalization of texts for Qwen2's tokenizers|utf8proc-devel or utf8proc|header utf8proc.h
libcxxopts-dev|yes|command lines|cxxopts-devel or cxxopts|header cxxopts.hpp
libedit-dev|yes|lines that are typed in rotor chat (libedit)|libedit-devel or libedit|header histedit.h
libcpp-httplib-dev|yes|rotor serve: HTTP (and, in tests, the hub that they download from)|cpp-httplib-devel or cpp-httplib|header httplib.h
libssl-dev|yes|rotor serve: TLS, hashes of keys|openssl-devel or openssl|header openssl/ssl.h
prometheus-cpp-dev|yes|rotor serve: metrics for Prometheus|prometheus-cpp|header prometheus/registry.h
libsqlite3-dev|yes|rotor rag: documents and the words in them (SQLite with FTS5)|sqlite-devel or sqlite3|header sqlite3.h
libpq-dev|yes|rotor rag: knowledge bases on PostgreSQL servers (libpq)|libpq-devel or postgresql-libs|library libpq.so
libfaiss-dev|yes|rotor rag: vectors (FAISS)|faiss-devel or faiss|header faiss/IndexFlat.h
libmd4c-dev|yes|rotor rag: reads Markdown (md4c)|md4c-devel or md4c|header md4c.h
libgumbo-dev|yes|rotor rag: reads HTML (Gumbo)|gumbo-parser-devel or gumbo-parser|header gumbo.h
libuchardet-dev|yes|rotor rag: guesses encodings of texts (uchardet)|uchardet-devel or uchardet|header uchardet/uchardet.h
libexpat1-dev|yes|rotor rag: reads XML, of Wikipedia's dumps (Expat)|expat-devel or expat|header expat.h
libbz2-dev|yes|rotor rag: unpacks Wikipedia's dumps (bzip2)|bzip2-devel or bzip2|header bzlib.h
poppler-utils|yes|rotor rag: pdftotext, run to read PDFs|poppler-utils or poppler|command pdftotext
libvulkan-dev|yes|GPUs by way of Vulkan: headers (the library is loaded at run time)|vulkan-headers|header vulkan/vulkan_raii.hpp
glslc|yes|GPUs by way of Vulkan: compiles the kernels|glslc or shaderc|command glslc
opencl-clhpp-headers|yes|GPUs by way of OpenCL: headers (the library is loaded at run time)|opencl-clhpp and opencl-headers|header CL/opencl.hpp
libjs-marked|yes|the web page of rotor serve: reads markdown|marked 4 (npm), see cmake/RotorDependencies.cmake|file /usr/share/javascript/marked/marked.umd.min.js
libjs-highlight.js|yes|the web page of rotor serve: colours code|highlight.js 9 (npm), see cmake/RotorDependencies.cmake|file /usr/share/javascript/highlight.js/highlight.min.js
gzip|yes|the web page of rotor serve: makes it smaller|gzip|command gzip
curl|yes|downloads of models and data sets|curl|command curl
jq|yes|downloads of models: a hub's list of files is JSON|jq|command jq
ca-certificates|yes|downloads: what curl trusts|ca-certificates|file /etc/ssl/certs
ccache|no|builds faster the second time|ccache|command ccache
git|no|the source|git|command git
libtorch-dev|no|training (LibTorch)|libtorch (from pytorch.org) or python-pytorch|header torch/csrc/api/include/torch/torch.h
libgloo-dev|no|training on several processes: headers for LibTorch's process groups|gloo|header gloo/context.h
libopenblas0-openmp|no|fast matrix products for LibTorch, sharing its threads|openblas-openmp or openblas|library libopenblas.so
libyaml-cpp-dev|no|training configs|yaml-cpp-devel or yaml-cpp|header yaml-cpp/yaml.h
libprotobuf-dev|no|TensorBoard event files|protobuf-devel or protobuf|header google/protobuf/message_lite.h
protobuf-compiler|no|TensorBoard event files: protoc, run at build time|protobuf-compiler or protobuf|command protoc
libgtest-dev|no|tests (GoogleTest)|gtest-devel or gtest|header gtest/gtest.h
chromium|no|tests: the web page in a browser|chromium|command chromium
chromium-driver|no|tests: drives that browser|chromium-driver or chromedriver|command chromedriver
nginx|no|tests: replicas of rotor serve behind it|nginx|file /usr/sbin/nginx
haproxy|no|tests: replicas of rotor serve behind it|haproxy|file /usr/sbin/haproxy
openssl|no|tests: certificates|openssl|command openssl
libvalijson-dev|no|tests: checks JSON against schemas|valijson-devel or valijson|header valijson/validator.hpp
json-schema-test-suite|no|tests: schemas with valid and invalid values|(Debian; elsewhere JSON-Schema-Test-Suite)|file /usr/share/json-schema-test-suite/tests/draft7/items.json
python3-pip|no|tests: fetches a PostgreSQL server with pgvector (scripts/get_postgres.sh)|python3-pip|command pip3
libbenchmark-dev|no|micro-benchmarks (Google Benchmark)|google-benchmark-devel or benchmark|header benchmark/benchmark.h
clang|no|fuzzing: the compiler that knows libFuzzer|clang|command clang++
libclang-rt-14-dev|no|fuzzing: libFuzzer and the sanitizers of clang|compiler-rt|library llvm-14/lib/clang
mesa-vulkan-drivers|no|tests: Vulkan on the processor (lavapipe)|mesa-vulkan-drivers or vulkan-swrast|library libvulkan_lvp.so
vulkan-validationlayers|no|tests: watches how Vulkan is used|vulkan-validation-layers|library libVkLayer_khronos_validation.so
ocl-icd-libopencl1|no|tests: finds OpenCL's drivers|ocl-icd or opencl-icd-loader|library libOpenCL.so.1
pocl-opencl-icd|no|tests: OpenCL on the processor (PoCL)|pocl|library libpocl.so
openmpi-bin|no|tests: mpirun starts ranks|openmpi|command mpirun
g++-aarch64-linux-gnu|no|builds for 64-bit ARM (cross compiler)|gcc-aarch64-linux-gnu|command aarch64-linux-gnu-g++
qemu-user|no|runs programs for ARM|qemu-user|command qemu-aarch64
binutils|no|tests look at symbols with nm|binutils|command nm
bible-kjv|no|prints the King James Version, the quick start's text|(Debian only; any text does: data.path)|command bible
bible-kjv-text|no|the text itself|(Debian only)|file /usr/lib/bible.data
dataset-fashion-mnist|no|Fashion-MNIST, the classifier's images|(Debian only; datasets/README.md says what else works)|file /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
LIST
}

# present KIND WHAT: whether a command, header, library or file is on this system (where no package manager can be asked)
present() {
  case "$1" in
    command) command -v "$2" > /dev/null ;;
    header) for base in /usr/include /usr/local/include ${CPATH:+${CPATH//:/ }} ${CMAKE_PREFIX_PATH:+${CMAKE_PREFIX_PATH//[:;]//include }/include}; do
        [ -e "$base/$2" ] && return 0
      done
      return 1 ;;
    library) for base in /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu; do
        compgen -G "$base/$2*" > /dev/null && return 0
      done
      return 1 ;;
    file) [ -e "$2" ] ;;
  esac
}

wanted() {
  if [ "$runtime_only" = yes ]; then packages | awk -F'|' '$2 == "yes"'; else packages; fi
}

runtime_only=no
list_only=no
for argument in "$@"; do
  case "$argument" in
    --runtime-only) runtime_only=yes ;;
    --list) list_only=yes ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option $argument; see scripts/setup.sh --help" >&2; exit 2 ;;
  esac
done

if [ "$list_only" = yes ]; then
  wanted | awk -F'|' '{ printf "  %-24s %s\n", $1, $3 }'
  exit 0
fi

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
  lacking=$(wanted | while IFS='|' read -r package _ purpose elsewhere kind_and_what; do
    present ${kind_and_what% *} "${kind_and_what#* }" || printf '  %-24s %-55s %s\n' "$package" "$purpose" "$elsewhere"
  done)
  if [ -z "$lacking" ]; then
    echo "setup.sh: no apt here, and nothing is missing" >&2
    exit 0
  fi
  echo "setup.sh: this system has no apt. Missing, by Debian's names and what they are usually called elsewhere:" >&2
  echo "$lacking" >&2
  echo "Install them, then: cmake --preset release && cmake --build --preset release" >&2
  exit 1
fi

missing=()
while IFS='|' read -r package _; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done < <(wanted)

if [ ${#missing[@]} -eq 0 ]; then
  echo "setup.sh: all packages are installed" >&2
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "setup.sh: not root and no sudo here; as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "setup.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
