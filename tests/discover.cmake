# SPDX-License-Identifier: MIT
# Writes one add_test() for each TEST_CASE of a doctest executable. doctest's own script gives up labels for a process each
# and does not notice a filter that matches nothing, which doctest counts as success.
execute_process(COMMAND ${executable} --list-test-cases --no-version --no-intro OUTPUT_VARIABLE listing
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${listing}")
list(FILTER lines EXCLUDE REGEX "^(===+$|\\[doctest\\])")
list(LENGTH lines count)
list(REMOVE_DUPLICATES lines)
list(LENGTH lines distinct)
if(NOT count EQUAL distinct)
  message(FATAL_ERROR "${executable}: two TEST_CASEs have the same name")
endif()

set(script "")
foreach(line IN LISTS lines)
  # In a doctest filter a comma separates, a star matches anything.
  string(REPLACE "," "\\," filter "${line}")
  string(APPEND script "add_test([==[${prefix}: ${line}]==] [==[${executable}]==] [==[--test-case=${filter}]==])\n"
                       "set_tests_properties([==[${prefix}: ${line}]==] PROPERTIES TIMEOUT 300"
                       " SKIP_REGULAR_EXPRESSION [==[weakly: skipped: ]==]"
                       " FAIL_REGULAR_EXPRESSION [==[test cases: +0 ]==]")
  if(labels)
    string(APPEND script " LABELS [==[${labels}]==]")
  endif()
  if(environment)
    string(APPEND script " ENVIRONMENT [==[${environment}]==]")
  endif()
  string(APPEND script ")\n")
endforeach()
file(WRITE ${output} "${script}")
