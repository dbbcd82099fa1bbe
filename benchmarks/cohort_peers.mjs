// The three tests of cohort_peers.py in engines of JavaScript: node cohort_peers.mjs NAME MODULES FILE EXPRESSIONS
// FILE holds a Bundle a line; EXPRESSIONS is FHIRPath by test, as JSON. Prints what cohort_peers.py prints.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const [name, modules, file, given] = process.argv.slice(2);
const load = createRequire(`${modules}/node_modules/`);
const expressions = JSON.parse(given);
const tests = Object.keys(expressions);

const engines = {
  fhirpath() {
    const fhirpath = load('fhirpath');
    const model = load('fhirpath/fhir-context/r4');
    const compiled = tests.map((test) => fhirpath.compile(expressions[test], model));
    return (bundle) => compiled.map((test) => test(bundle)[0] === true);
  },
  medplum() {
    const { parseFhirPath, toTypedValue } = load('@medplum/core');
    const compiled = tests.map((test) => parseFhirPath(expressions[test]));
    return (bundle) => {
      const value = [toTypedValue(bundle)];
      return compiled.map((test) => test.eval({ variables: {} }, value)[0]?.value === true);
    };
  },
  cql() {
    const cql = load('cql-execution');
    const { PatientSource } = load('cql-exec-fhir');
    const executor = new cql.Executor(new cql.Library(library()));
    const source = PatientSource.FHIRv401({ requireProfileTagging: false });
    return async (bundle) => {
      source.loadBundles([bundle]);
      const results = await executor.exec(source);
      source.reset();
      const found = Object.values(results.patientResults)[0];
      return tests.map((test) => found[test] === true);
    };
  },
};

// The tests as ELM, which is what cql-execution runs: CQL is compiled to it by a translator that we do not need for three expressions.
function library() {
  const string = (value) => ({ type: 'Literal', valueType: '{urn:hl7-org:elm-types:r1}String', value });
  const value = (path) => ({ type: 'Property', path: `${path}.value`, scope: 'X' });
  const starts = (prefix) => ({ type: 'StartsWith', operand: [value('code'), string(prefix)] });
  const or = (one, ...more) => (more.length ? { type: 'Or', operand: [one, or(...more)] } : one);
  const icd = { type: 'Greater', operand: [{ type: 'PositionOf', pattern: string('icd-10'), string: value('system') },
    { type: 'Literal', valueType: '{urn:hl7-org:elm-types:r1}Integer', value: '-1' }] };
  const of = (path) => ({ type: 'Property', path, scope: 'R' });
  const concept = { type: 'As', operand: of('value'), asType: '{http://hl7.org/fhir}CodeableConcept', strict: false };
  const any = (kind, codings, where) => ({
    type: 'Exists',
    operand: {
      type: 'Query',
      source: [{ alias: 'R', expression: { type: 'Retrieve', dataType: `{http://hl7.org/fhir}${kind}` } }],
      relationship: [],
      where: { type: 'Exists', operand: {
        type: 'Query', relationship: [], where,
        source: [{ alias: 'X', expression: codings }],
      } },
    },
  });
  const defined = {
    cervix: any('Condition', of('code.coding'), { type: 'And', operand: [icd, starts('C53')] }),
    secondary: any('Condition', of('code.coding'), { type: 'And', operand: [icd, or(starts('C77'), starts('C78'), starts('C79'))] }),
    m1: any('Observation', { type: 'Property', path: 'coding', source: concept }, { type: 'Equal', operand: [value('code'), string('1229903009')] }),
  };
  const own = { name: 'Patient', context: 'Patient', expression: { type: 'SingletonFrom', operand: { type: 'Retrieve', dataType: '{http://hl7.org/fhir}Patient' } } };
  return {
    library: {
      identifier: { id: 'Tests' },
      schemaIdentifier: { id: 'urn:hl7-org:elm', version: 'r1' },
      usings: { def: [{ localIdentifier: 'System', uri: 'urn:hl7-org:elm-types:r1' }, { localIdentifier: 'FHIR', uri: 'http://hl7.org/fhir', version: '4.0.1' }] },
      statements: { def: [own, ...tests.map((test) => ({ name: test, context: 'Patient', accessLevel: 'Public', expression: defined[test] }))] },
    },
  };
}

const answer = engines[name]();
const found = tests.map(() => []);
for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
  const bundle = JSON.parse(line);
  (await answer(bundle)).forEach((holds, place) => holds && found[place].push(bundle.id));
}
const digest = (ids) => createHash('sha256').update(ids.sort().join('\n')).digest('hex').slice(0, 12);
console.log(tests.map((test, place) => `${test}=${found[place].length}:${digest(found[place])}`).join(' '));
