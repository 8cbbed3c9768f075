# SPDX-License-Identifier: MIT
# Writes one add_test() for each TEST_CASE of a doctest executable. doctest's own script splits names at brackets, and does
# not notice a filter that matches no test, which doctest counts as success.
execute_process(COMMAND ${executable} --list-test-cases OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)

# In a list of CMake an unbalanced bracket, as in "[0, n)", swallows what follows, and a semicolon separates.
string(REPLACE "[" "<bra>" listing "${listing}")
string(REPLACE "]" "<ket>" listing "${listing}")
string(REPLACE ";" "<sem>" listing "${listing}")
string(REGEX MATCHALL "[^\n]+" lines "${listing}")
list(FILTER lines EXCLUDE REGEX "^(===+$|<bra>doctest<ket>)")
list(LENGTH lines count)
list(REMOVE_DUPLICATES lines)
list(LENGTH lines distinct)
if(NOT count EQUAL distinct)
  message(FATAL_ERROR "${executable}: two TEST_CASEs have the same name")
endif()
if(NOT listing MATCHES "filters: ${count}\n")
  message(FATAL_ERROR "${executable}: ${count} TEST_CASEs were read from a list of another length")
endif()

set(properties "TIMEOUT 300 SKIP_REGULAR_EXPRESSION [==[weakly: skipped: ]==] FAIL_REGULAR_EXPRESSION [==[test cases: +0 ]==]")
if(labels)
  string(APPEND properties " LABELS [==[${labels}]==]")
endif()
if(environment)
  string(APPEND properties " ENVIRONMENT [==[${environment}]==]")
endif()
set(script "")
foreach(line IN LISTS lines)
  string(REPLACE "," "\\," filter "${line}")  # a comma separates the filters of doctest
  string(APPEND script "add_test([==[${prefix}: ${line}]==] [==[${executable}]==] [==[--test-case=${filter}]==])\n"
                       "set_tests_properties([==[${prefix}: ${line}]==] PROPERTIES ${properties})\n")
endforeach()
string(REPLACE "<bra>" "[" script "${script}")
string(REPLACE "<ket>" "]" script "${script}")
string(REPLACE "<sem>" ";" script "${script}")
file(WRITE ${output} "${script}")
