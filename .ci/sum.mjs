// Sums the JSON reports of vitest in the folder given; fails when one of the two is missing.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const folder = process.argv[2]
const reports = readdirSync(folder).map((name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8')))
const sum = (count) => reports.reduce((total, report) => total + count(report), 0)

// A test file that could not even be loaded has no tests of its own to fail.
const unloaded = ({ testResults }) =>
  testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0)
    .length
const passed = sum((report) => report.numPassedTests)
const failed = sum((report) => report.numFailedTests + unloaded(report))
console.log(`${passed} passed, ${failed} failed`)
process.exit(reports.length === 2 && failed === 0 ? 0 : 1)
