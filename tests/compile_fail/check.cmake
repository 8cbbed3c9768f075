# SPDX-License-Identifier: MIT
# cmake -D settings=<file> -D file=<case.cpp> -P check.cmake: see CMakeLists.txt beside this file.
include(${settings})

function(fail)
  message(NOTICE "${ARGV}")  # FATAL_ERROR would break the compiler's lines anew
  message(FATAL_ERROR "compile_fail")
endfunction()

file(STRINGS ${file} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// expect: (.+)$")
  fail("${file} does not begin with `// expect: <regular expression>`")
endif()
set(expected "${CMAKE_MATCH_1}")

function(compile failed message)
  execute_process(COMMAND ${compiler} ${flags} ${ARGN} -fsyntax-only ${file} RESULT_VARIABLE code OUTPUT_VARIABLE text
                  ERROR_VARIABLE text)
  set(${failed} ${code} PARENT_SCOPE)
  set(${message} "${text}" PARENT_SCOPE)
endfunction()

compile(failed message)
if(failed)
  fail("the control of ${file} does not compile:\n${message}")
endif()
compile(failed message -DMUST_FAIL)
if(NOT failed)
  fail("${file} compiles and must not")
endif()
if(NOT message MATCHES "${expected}")
  fail("${file} fails for another reason than `${expected}`:\n${message}")
endif()
