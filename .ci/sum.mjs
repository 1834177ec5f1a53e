// Sums the JSON reports of vitest in the folder given; fails when one of the named ones is missing.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const [folder, ...names] = process.argv.slice(2)
const files = names.map((name) => path.join(folder, `${name}.json`))
const reports = files.filter(existsSync).map((file) => JSON.parse(readFileSync(file, 'utf8')))
const sum = (count) => reports.reduce((total, report) => total + count(report), 0)

// A test file that could not even be loaded has no tests of its own to fail.
const unloaded = ({ testResults }) =>
  testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0)
    .length
const passed = sum((report) => report.numPassedTests)
const failed = sum((report) => report.numFailedTests + unloaded(report))
for (const file of files.filter((file) => !existsSync(file))) console.log(`No report ${path.basename(file)}`)

const results = reports.flatMap(({ testResults }) => testResults)
const short = (file) => path.relative(process.cwd(), file)
console.log('The slowest files, in seconds:')
for (const { name, startTime, endTime } of results
  .toSorted((a, b) => b.endTime - b.startTime - (a.endTime - a.startTime))
  .slice(0, 25))
  console.log(`${Math.round((endTime - startTime) / 1000)}`.padStart(6), short(name))
for (const { name, status, message, assertionResults } of results.filter(
  ({ status }) => status === 'failed',
)) {
  const tests = assertionResults.filter((test) => test.status === 'failed')
  if (tests.length === 0) console.log(`FAILED ${short(name)} (${status}): ${message.slice(0, 500)}`)
  for (const test of tests)
    console.log(`FAILED ${short(name)} > ${test.fullName}: ${(test.failureMessages[0] ?? '').slice(0, 500)}`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(reports.length === names.length && failed === 0 ? 0 : 1)
