# SPDX-License-Identifier: MIT
# Compiles the C++ of docs/. Block number i of docs/<page>.md becomes <page>_<i>.inc, which documented.cpp includes where
# everything is declared that the block assumes; the two lists have to be the same.
cmake_minimum_required(VERSION 3.25)
string(REPLACE "|" ";" flags "${flags}")
file(REMOVE_RECURSE ${folder})

set(written "")
set(complaints "")
file(GLOB_RECURSE pages RELATIVE ${checkout}/docs ${checkout}/docs/*.md)
foreach(page ${pages})
  file(READ ${checkout}/docs/${page} text)
  string(PREPEND text "\n")
  set(line 0)
  set(block 0)
  while(text MATCHES "\n *```(cpp|c[+][+]|cc|cxx)[^\n]*\n")
    set(fence "${CMAKE_MATCH_0}")
    string(FIND "${text}" "${fence}" begin)
    string(LENGTH "${fence}" length)
    math(EXPR begin "${begin} + ${length}")
    string(SUBSTRING "${text}" 0 ${begin} before)
    string(SUBSTRING "${text}" ${begin} -1 text)
    string(FIND "${text}" "```" end)
    string(SUBSTRING "${text}" 0 ${end} code)
    string(SUBSTRING "${text}" ${end} -1 text)

    math(EXPR block "${block} + 1")
    string(REGEX REPLACE "[^\n]" "" before "${before}")
    string(LENGTH "${before}" lines)
    math(EXPR line "${line} + ${lines}")
    string(REGEX REPLACE "[.]md$" "_${block}.inc" name ${page})
    # An error in it then names the page and its line.
    file(WRITE ${folder}/${name} "#line ${line} \"${checkout}/docs/${page}\"\n${code}")
    list(APPEND written ${name})
    set(line_of_${name} ${line})
    string(REGEX REPLACE "[^\n]" "" code "${code}")
    string(LENGTH "${code}" lines)
    math(EXPR line "${line} + ${lines}")
  endwhile()
endforeach()

file(STRINGS ${documented} included REGEX "^#include \"[^\"]+[.]inc\"$")
list(TRANSFORM included REPLACE "^#include \"(.*)\"$" "\\1")
foreach(name ${written})
  if(NOT name IN_LIST included)
    string(REGEX REPLACE "_([0-9]+)[.]inc$" ".md" page ${name})
    string(APPEND complaints
           "docs/${page}:${line_of_${name}}: nothing compiles this, C++ block number ${CMAKE_MATCH_1}. Give "
           "${documented} a function with what a reader has there, and #include \"${name}\" in it.\n")
  endif()
endforeach()
foreach(name ${included})
  if(NOT name IN_LIST written)
    string(REGEX REPLACE "_([0-9]+)[.]inc$" ".md" page ${name})
    string(APPEND complaints
           "docs/${page}: there is no C++ block number ${CMAKE_MATCH_1}. Remove #include \"${name}\" and the function "
           "around it from ${documented}.\n")
  endif()
endforeach()
if(complaints)
  message(FATAL_ERROR "${complaints}")
endif()

execute_process(COMMAND ${compiler} ${flags} -I${folder} ${documented} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "The C++ of docs/ does not compile as the compiler says above. Correct the page it names; where a "
                      "name is not declared that a reader has, declare it in ${documented}.")
endif()
